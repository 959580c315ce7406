#!/usr/bin/env python3
"""The first page in a real browser, against real servers: empty, busy, gone, and hostile."""

import pathlib
import subprocess
import tempfile

from browser import Browser
from scene import CACHE, Load, Server, check, free_port, need, until

PICTURES = CACHE / "pictures"
HOSTILE = [
    "<img src=x onerror=\"document.title='owned'\">",
    "\"><script>document.title='owned'</script>",
    "<b>bold</b>{{7*7}}${document.title='owned'}",
    "\u202egnp.exe \u0007 &lt;i&gt;",
]
# Counts that only rise while nothing is deleted.
RISING = {"COMPLETED": "completedTasks", "FAILED": "failedTasks"}

# What no text may be: fainter than 4.5 to 1 against what is behind it.
FAINT_TEXTS = """
const parse = (c) => c.match(/[\\d.]+/g).map(Number);
const lum = ([r, g, b]) => [r, g, b].map((v) => v / 255)
  .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (e) => {
  for (let at = e; at; at = at.parentElement) {
    const colour = parse(getComputedStyle(at).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const own = (e) => [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
const seen = [...document.body.querySelectorAll('*')]
  .filter((e) => own(e) && e.checkVisibility() && e.closest('noscript') === null);
return seen.filter((e) => {
  const [a, b] = [lum(parse(getComputedStyle(e).color)), lum(behind(e))];
  return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05) < 4.5;
}).map((e) => `${e.tagName} ${e.className}: ${e.textContent.trim().slice(0, 40)}`);
"""


def ground():
    return tempfile.TemporaryDirectory()


def figure(text):
    return int(text.replace(",", ""))


def cell(browser, body, name):
    """The figure beside `name` in a table of names and figures."""
    script = """
        const rows = [...document.getElementById(arguments[0]).rows];
        return rows.find((row) => row.cells[0].textContent === arguments[1])
            ?.cells[1].textContent ?? null;
    """
    text = browser.run(script, body, name)
    return None if text is None else figure(text)


def row(table, task, rest=""):
    return f"#{table} tr[data-key='{task}'] {rest}"


def open_page(browser, server):
    browser.go(server.url + "/")
    until(lambda: (browser.text("#updated") or "").startswith("updated"), "the page shows figures")


def look_at(browser, name, width=1280):
    """Pictures in both themes, and no faint text in either."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    browser.width(width)
    for theme in ["light", "dark"]:
        browser.theme(theme)
        faint = browser.run(FAINT_TEXTS)
        assert not faint, (theme, faint)
        browser.picture(PICTURES / f"{name}-{theme}.png")


def an_empty_server_says_how_to_begin_and_what_it_says_works():
    with ground() as folder, Server(pathlib.Path(folder, "data")) as server:
        with Browser() as browser:
            open_page(browser, server)
            assert browser.text("#state") == "UP"
            assert "SQLite" in browser.text("#store"), browser.text("#store")
            assert browser.run("return document.getElementById('latest').hidden") is True
            look_at(browser, "empty")
            need("curl")
            example = browser.text("#example")
            subprocess.run(["bash", "-c", f"{example} -sS --fail -o /dev/null"], check=True)
            until(lambda: browser.text(row("latest", 1, ".badge")) == "COMPLETED", "it is shown")
            assert browser.text(row("latest", 1, "td:nth-child(2)")) == "first"
            assert browser.run("return document.getElementById('no-tasks').hidden") is True
            assert browser.complaints() == []


def the_page_of_the_api_shows_every_call_and_what_it_shows_works():
    with ground() as folder, Server(pathlib.Path(folder, "data")) as server:
        document = server.call("/openapi.json")[1]
        calls = {one["operationId"] for path in document["paths"].values() for one in path.values()}
        with Browser() as browser:
            browser.go(server.url + "/docs#submitTask")
            shown = "return [...document.querySelectorAll('#calls .call')].map((box) => box.id)"
            until(lambda: set(browser.run(shown)) == calls, "every call is there")
            look_at(browser, "docs")
            # The address named one, so it is open; its example is a command that works.
            until(lambda: browser.text("#submitTask pre"), "the call that was named is open")
            words = browser.text("#submitTask")
            for word in ["Idempotency-Key", "scope submit", "TaskSubmission", "outcome-unknown"]:
                assert word in words, words
            example = browser.text("#submitTask pre")
            subprocess.run(["bash", "-c", f"{example} --fail -o /dev/null"], check=True)
            server.until_status(1, "COMPLETED")
            browser.run("""
                const find = document.getElementById('find');
                find.value = 'leasetoken worker';
                find.dispatchEvent(new Event('input'));
            """)
            left = browser.run(shown.replace(".call'", ".call:not([hidden])'"))
            assert "heartbeat" in left and "statistics" not in left, left
            assert browser.complaints() == []


def its_figures_are_those_of_the_api_while_load_runs():
    types = ["NOOP", "NOOP", "NOOP", "ECHO", "FAIL"]

    def batch():
        task = lambda n: {
            "taskName": f"load {n}", "taskType": types[n % 5], "maxRetryAttempts": 0,
            "priority": ["CRITICAL", "HIGH", "MEDIUM", "LOW", "BULK"][n % 5], "payload": "{}",
        }
        return [task(n) for n in range(100)]

    with ground() as folder, Server(pathlib.Path(folder, "data")) as server:
        # These stay in the queue, whatever runs.
        for band, number in [("HIGH", 40), ("LOW", 25), ("BULK", 10)]:
            tasks = [{"taskName": "q", "taskType": "NOBODYS", "priority": band}] * number
            server.call("/api/v1/tasks/batch", "POST", tasks)
        statistics = lambda: server.call("/api/v1/tasks/statistics")[1]
        with Browser() as browser, Load(server, batch):
            open_page(browser, server)
            for _ in range(5):
                before, shown_at = statistics(), browser.text("#updated")
                until(lambda: browser.text("#updated") != shown_at, "the next round")
                shown = {name: cell(browser, "statuses", name) for name in RISING}
                after = statistics()
                for name, key in RISING.items():
                    # The page's round may have begun just before the first look.
                    low = before[key] - 4000
                    assert low <= shown[name] <= after[key], (name, shown, before, after)
            assert shown["COMPLETED"] > 0 and shown["FAILED"] > 0, shown
            done = lambda: figure(browser.text("#rate-completed").split("/")[0].split(".")[0])
            until(lambda: 200 < done() < 20_000, "a rate that load of this size can have")
            assert browser.run("return document.querySelectorAll('#latest tbody tr').length") == 12
            look_at(browser, "busy")
            look_at(browser, "busy-narrow", 390)
            browser.width(1280)
            over = browser.run("return document.body.scrollWidth - document.body.clientWidth")
            assert over <= 0, f"the page is {over} px too wide"
        with Browser() as browser:
            # All quiet: now every figure has to be the very same.
            open_page(browser, server)

            def same():
                told = statistics()
                for name in "pending scheduled queued running retrying paused completed failed " \
                        "cancelled".split():
                    if cell(browser, "statuses", name.upper()) != told[f"{name}Tasks"]:
                        return False
                bands = {band: cell(browser, "bands", band) for band in told["queueDepth"]}
                return bands == told["queueDepth"] and bands["HIGH"] == 40

            until(same, "the figures of the page and of the API are the same")
            told = statistics()
            assert browser.text("#node") == told["node"]
            assert figure(browser.text("#queued")) == told["queuedTasks"] == 75
            cores = browser.run("return document.getElementById('cores').rows.length")
            assert cores == len(told["cores"])
            failed = [task["id"] for task in
                      server.call("/api/v1/tasks?status=FAILED&size=8&sort=id,desc")[1]["content"]]
            keys = "return [...document.querySelectorAll('#failures tbody tr')]" \
                ".map((row) => Number(row.dataset.key))"
            assert browser.run(keys) == failed
            assert browser.complaints() == []


def retry_and_cancel_do_what_their_buttons_say():
    with ground() as folder, Server(pathlib.Path(folder, "data")) as server:
        failed = server.submit("NOBODYS")
        for status in ["RUNNING", "FAILED"]:
            server.call(f"/api/v1/tasks/{failed}/status?status={status}", "PUT")
        later = server.submit("ECHO", scheduledTime="2099-01-01T00:00:00Z")
        server.until_status(failed, "FAILED")
        with Browser() as browser:
            open_page(browser, server)
            retry = row("failures", failed, "button[data-verb=retry]")
            cancel = row("latest", later, "button[data-verb=cancel]")
            label = "return document.querySelector(arguments[0]).getAttribute('aria-label')"
            assert browser.run(label, retry) == f"Retry task {failed}"
            # A refresh leaves the focus where it is.
            browser.run("document.querySelector(arguments[0]).focus()", cancel)
            shown_at = browser.text("#updated")
            until(lambda: browser.text("#updated") != shown_at, "the next round")
            has_focus = "return document.activeElement === document.querySelector(arguments[0])"
            assert browser.run(has_focus, cancel) is True

            browser.click(retry)
            until(lambda: browser.text("#said").startswith(f"Task {failed}:"), "it is said")
            server.until_status(failed, "QUEUED")
            gone = "return document.querySelector(arguments[0]) === null"
            until(lambda: browser.run(gone, row("failures", failed)), "the failure is gone")
            assert browser.run("return document.getElementById('no-failures').hidden") is False

            browser.click(cancel)
            until(lambda: browser.text("#said") == f"Task {later}: Task cancelled.", "it is said")
            server.until_status(later, "CANCELLED")
            badge = row("latest", later, ".badge")
            until(lambda: browser.text(badge) == "CANCELLED", "the row shows it")
            assert browser.complaints() == []


def what_a_client_sent_is_never_more_than_text():
    with ground() as folder, Server(pathlib.Path(folder, "data")) as server:
        tasks = [server.submit("FAIL", taskName=name, maxRetryAttempts=0) for name in HOSTILE]
        typed = server.submit(HOSTILE[0][:100], taskName="typed")
        for task in tasks:
            server.until_status(task, "FAILED")
        with Browser() as browser:
            open_page(browser, server)
            for table in ["latest", "failures"]:
                for task, name in zip(tasks, HOSTILE):
                    assert browser.text(row(table, task, "td:nth-child(2)")) == name
            assert browser.text(row("latest", typed, "td:nth-child(3)")) == HOSTILE[0][:100]
            assert browser.run("return document.title") == "taskscheduler"
            made = "return document.querySelectorAll('tbody :is(img, script, b, i)').length"
            assert browser.run(made) == 0
            hosts = browser.run("return performance.getEntriesByType('resource')"
                                ".map((entry) => new URL(entry.name).origin)")
            assert set(hosts) == {server.url}, hosts
            assert browser.complaints() == []
        _, _, heads = server.call("/")
        policy = heads["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy, policy


def it_asks_nothing_while_nobody_looks_and_comes_back():
    with ground() as folder, Server(pathlib.Path(folder, "data")) as server:
        with Browser() as browser:
            open_page(browser, server)
            first = browser.ask("GET", "/window")
            asked = "return performance.getEntriesByType('resource')" \
                ".filter((entry) => entry.name.includes('statistics')).length"
            second = browser.ask("POST", "/window/new", {"type": "tab"})["handle"]
            browser.ask("POST", "/window", {"handle": second})
            browser.ask("POST", "/window", {"handle": first})
            hidden = browser.run("return document.hidden")
            if not hidden:
                # This browser shows both tabs at once; then the page is told.
                browser.run("Object.defineProperty(document, 'hidden', "
                            "{value: true, configurable: true});"
                            "document.dispatchEvent(new Event('visibilitychange'))")
            before = browser.run(asked)
            waited = """const [done] = arguments; setTimeout(done, 3500);"""
            browser.ask("POST", "/execute/async", {"script": waited, "args": []})
            assert browser.run(asked) - before <= 1, "it asks while nobody looks"
            browser.run("Object.defineProperty(document, 'hidden', "
                        "{value: false, configurable: true});"
                        "document.dispatchEvent(new Event('visibilitychange'))")
            until(lambda: browser.run(asked) >= before + 3, "it asks again")
            browser.click("#pause")
            until(lambda: browser.text("#updated") == "paused", "it says that it is paused")


def a_server_that_is_gone_is_said_and_one_that_is_back_is_shown():
    port = free_port()
    with ground() as folder, Browser() as browser:
        data = pathlib.Path(folder, "data")
        with Server(data, listen=f"127.0.0.1:{port}") as server:
            open_page(browser, server)
            assert server.stop() == 0
            until(lambda: browser.text("#state") == "offline", "the page says so")
            assert "does not answer" in browser.text("#trouble")
            look_at(browser, "gone")
        with Server(data, listen=f"127.0.0.1:{port}"):
            until(lambda: browser.text("#state") == "UP", "the page has it back")
            assert browser.run("return document.getElementById('trouble').hidden") is True


def where_tokens_are_wanted_the_page_asks_for_one_and_keeps_it_for_this_tab():
    tokens = "reader:read:only-for-looking-1,writer:read+submit:also-for-doing-22"
    variables = {"TASK_SCHEDULER_API_TOKENS": tokens}
    with ground() as folder, Server(pathlib.Path(folder, "data"), variables=variables) as server:
        heads = {"Authorization": "Bearer also-for-doing-22"}
        task = {"taskName": "later", "taskType": "ECHO", "scheduledTime": "2099-01-01T00:00:00Z"}
        assert server.call("/api/v1/tasks", "POST", task)[0] == 401
        made = server.call("/api/v1/tasks", "POST", task, headers=heads)
        assert made[0] == 201
        cancel = row("latest", made[1]["id"], "button[data-verb=cancel]")
        hidden = "return document.getElementById('token-form').hidden"
        with Browser() as browser:
            browser.go(server.url + "/")
            until(lambda: browser.run(hidden) is False, "the page asks for a token")
            assert browser.run("return document.getElementById('content').hidden") is True
            assert browser.text("#latest tbody") == "", "nothing is shown before"
            look_at(browser, "token")
            browser.type("#token", "not-the-right-one")
            browser.click("#token-form button")
            until(lambda: "token" in browser.text("#trouble"), "it is refused")
            browser.type("#token", "only-for-looking-1")
            browser.click("#token-form button")
            until(lambda: browser.run(hidden) is True, "it is taken")
            until(lambda: browser.text(row("latest", made[1]["id"], ".badge")), "tasks are shown")
            browser.click(cancel)
            until(lambda: "left as it is" in browser.text("#said"), "looking is not doing")
            # The tab keeps it, and no other place does.
            browser.go(server.url + "/")
            until(lambda: browser.text(row("latest", made[1]["id"], ".badge")), "it is kept")
            assert browser.run("return localStorage.length + document.cookie.length") == 0
            browser.run("sessionStorage.clear()")
            until(lambda: browser.run(hidden) is False, "it asks again")
            browser.type("#token", "also-for-doing-22")
            browser.click("#token-form button")
            until(lambda: browser.run(hidden) is True, "it is taken")
            browser.click(cancel)
            until(lambda: browser.text("#said").endswith("Task cancelled."), "it is cancelled")


if __name__ == "__main__":
    check(
        an_empty_server_says_how_to_begin_and_what_it_says_works,
        the_page_of_the_api_shows_every_call_and_what_it_shows_works,
        its_figures_are_those_of_the_api_while_load_runs,
        retry_and_cancel_do_what_their_buttons_say,
        what_a_client_sent_is_never_more_than_text,
        it_asks_nothing_while_nobody_looks_and_comes_back,
        a_server_that_is_gone_is_said_and_one_that_is_back_is_shown,
        where_tokens_are_wanted_the_page_asks_for_one_and_keeps_it_for_this_tab,
    )
