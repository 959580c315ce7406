"""A headless Chromium, spoken to in plain WebDriver."""

import base64
import pathlib
import subprocess
import tempfile

from scene import Process, call, free_port, need, until

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--window-size=1280,1100",
]


class Browser:
    """One window."""

    def __enter__(self):
        self.driver_path = need("chromedriver", "chromium-driver")
        chromium = need("chromium")
        self.folder = tempfile.TemporaryDirectory()
        profile = f"--user-data-dir={self.folder.name}"
        port = free_port()
        self.driver = Process([self.driver_path, f"--port={port}"])
        self.base = f"http://127.0.0.1:{port}"
        try:
            until(lambda: call(self.base + "/status")[0] == 200, "chromedriver answers")
            options = {"binary": chromium, "args": [*FLAGS, profile]}
            wanted = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"}}
            body = {"capabilities": {"alwaysMatch": wanted}}
            status, answer, _ = call(self.base + "/session", "POST", body, timeout=90)
            assert status == 200, answer
            self.base += f"/session/{answer['value']['sessionId']}"
        except BaseException:
            self.driver.__exit__(None)
            raise
        return self

    def __exit__(self, kind, *rest):
        try:
            call(self.base, "DELETE", timeout=30)
        except OSError:
            pass
        self.driver.__exit__(kind, *rest)
        # Chromium's last processes may still write into it.
        subprocess.run(["rm", "-rf", self.folder.name], check=False)

    def ask(self, method, path, body=None):
        status, answer, _ = call(self.base + path, method, body, timeout=60)
        assert status == 200, answer
        return answer["value"]

    def go(self, url):
        self.ask("POST", "/url", {"url": url})

    def run(self, script, *arguments):
        """What a script in the page gives."""
        return self.ask("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0])?.textContent", selector)

    def find(self, selector):
        body = {"using": "css selector", "value": selector}
        return self.ask("POST", "/element", body)[ELEMENT]

    def click(self, selector):
        self.ask("POST", f"/element/{self.find(selector)}/click", {})

    def type(self, selector, text):
        self.ask("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def devtools(self, command, **parameters):
        return self.ask("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def theme(self, name):
        features = [{"name": "prefers-color-scheme", "value": name}]
        self.devtools("Emulation.setEmulatedMedia", features=features)

    def width(self, pixels):
        self.devtools(
            "Emulation.setDeviceMetricsOverride", width=pixels, height=1100,
            deviceScaleFactor=1, mobile=False,
        )

    def picture(self, path):
        shot = self.devtools("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(shot))

    def complaints(self):
        """What the console said since the last look: errors, broken policies."""
        entries = self.ask("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] in ("SEVERE", "WARNING")]
