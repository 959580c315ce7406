//! The program as a person or a script meets it: its output, its exit codes and its manners,
//! against a small server that answers what the test tells it to.

mod stub;

use std::io::Write;
use std::process::{Command, Output, Stdio};

use stub::Stub;

/// Runs the program with nothing of this machine's environment but the given variables.
fn program(args: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_taskscheduler"));
    command.args(args).env_clear().envs(variables.iter().copied()).stdin(Stdio::null());
    command.current_dir(env!("CARGO_TARGET_TMPDIR"));
    command
}

fn run(args: &[&str]) -> Output {
    program(args, &[]).output().unwrap()
}

fn run_at(stub: &Stub, args: &[&str]) -> Output {
    program(args, &[("TASK_SCHEDULER_SERVER", &stub.url)]).output().unwrap()
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn task(id: u64, status: &str) -> String {
    format!(r#"{{"id":{id},"taskName":"n","taskType":"ECHO","status":"{status}"}}"#)
}

#[test]
fn every_command_has_help_on_standard_output_with_an_example() {
    let commands: [&[&str]; 19] = [
        &["serve"],
        &["submit"],
        &["get"],
        &["list"],
        &["cancel"],
        &["worker"],
        &["retry"],
        &["config", "check"],
        &["config", "show"],
        &["config", "default"],
        &["migrate", "apply"],
        &["migrate", "info"],
        &["migrate", "reset"],
        &["migrate", "restored"],
        &["backup"],
        &["completions"],
        &["man"],
        &["health"],
        &["doctor"],
    ];
    for command in commands {
        let help = run(&[command, &["--help"]].concat());
        assert_eq!((code(&help), err(&help).as_str()), (0, ""), "{command:?}");
        assert!(out(&help).contains("Example"), "{command:?}");
    }
    assert!(out(&run(&["--help"])).contains("Exit codes: 0 done"));
}

#[test]
fn what_makes_no_sense_on_the_command_line_ends_with_2_and_says_why() {
    let senseless: [&[&str]; 10] = [
        &["sumbit"],
        &["get"],
        &["get", "0"],
        &["get", "-1"],
        &["get", "99999999999999999999"],
        &["submit"],
        &["submit", "T", "--in", "5"],
        &["submit", "T", "--in", "5m", "--at", "2030-01-01T00:00:00Z"],
        &["cancel", "1", "two"],
        &["--cores", "2", "get", "1"],
    ];
    for args in senseless {
        let output = run(args);
        assert_eq!((code(&output), out(&output).as_str()), (2, ""), "{args:?}");
        assert!(!err(&output).is_empty(), "{args:?}");
    }
    assert!(err(&run(&["sumbit"])).contains("submit"));
}

#[test]
fn a_submit_sends_what_was_asked_for_and_prints_one_line() {
    let stub = Stub::new(&[("POST /api/v1/tasks", 201, &task(7, "QUEUED"))]);
    let args = [
        "submit",
        "ECHO",
        "--name",
        "a name",
        "--payload",
        "{\"big\": 12345678901234567890123}",
        "--priority",
        "HIGH",
        "--key",
        "k1",
        "--retries",
        "2",
        "--execution-timeout",
        "90s",
    ];
    let output = run_at(&stub, &args);
    assert_eq!((code(&output), out(&output).as_str()), (0, "task 7 is QUEUED\n"), "{output:?}");
    let request = stub.request();
    assert!(request.head.contains("idempotency-key: k1"), "{}", request.head);
    assert!(request.head.contains("content-type: application/json"), "{}", request.head);
    assert_eq!(
        request.body,
        "{\"taskName\":\"a name\",\"taskType\":\"ECHO\",\"priority\":\"HIGH\",\
         \"payload\":{\"big\": 12345678901234567890123},\"executionTimeoutSeconds\":90,\
         \"maxRetryAttempts\":2}"
    );
}

#[test]
fn a_payload_comes_from_a_file_or_from_standard_input() {
    let stub = Stub::new(&[("POST /api/v1/tasks", 201, &task(7, "QUEUED"))]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("payload");
    std::fs::write(&path, "no json\n").unwrap();
    let from_file = run_at(&stub, &["submit", "T", "--payload", &format!("@{}", path.display())]);
    assert_eq!(code(&from_file), 0);
    assert!(stub.request().body.contains(r#""payload":"no json\n""#));

    let mut command = program(&["submit", "T", "--payload", "-"], &[]);
    command.env("TASK_SCHEDULER_SERVER", &stub.url);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"[1, 2]").unwrap();
    assert!(child.wait().unwrap().success());
    assert!(stub.request().body.contains(r#""payload":[1, 2]"#));
    let missing = run_at(&stub, &["submit", "T", "--payload", "@/no/such/file"]);
    assert_eq!(code(&missing), 2);
}

#[test]
fn waiting_tells_how_the_task_ended() {
    for (status, expected) in [("COMPLETED", 0), ("FAILED", 7), ("CANCELLED", 7)] {
        let stub = Stub::new(&[
            ("POST /api/v1/tasks", 201, &task(7, "QUEUED")),
            ("GET /api/v1/tasks/7", 200, &task(7, "RUNNING")),
            ("GET /api/v1/tasks/7", 200, &task(7, status)),
        ]);
        let output = run_at(&stub, &["submit", "ECHO", "--wait", "--json"]);
        assert_eq!((code(&output), out(&output).trim()), (expected, task(7, status).as_str()));
    }
    let stub = Stub::new(&[
        ("POST /api/v1/tasks", 201, &task(7, "QUEUED")),
        ("GET /api/v1/tasks/7", 200, &task(7, "RUNNING")),
    ]);
    let output = run_at(&stub, &["submit", "ECHO", "--wait=50ms"]);
    assert_eq!(code(&output), 124);
    assert!(err(&output).contains("task 7 is RUNNING and has not ended in time"));
}

#[test]
fn a_batch_goes_in_slices_each_under_a_key_of_its_own() {
    let answer = |from: u64, count: u64| {
        let tasks: Vec<String> = (from..from + count).map(|id| task(id, "QUEUED")).collect();
        format!("[{}]", tasks.join(","))
    };
    let stub = Stub::new(&[
        ("POST /api/v1/tasks/batch", 201, &answer(1, 1000)),
        ("POST /api/v1/tasks/batch", 201, &answer(1001, 5)),
    ]);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tasks.ndjson");
    std::fs::write(&path, "{}\n".repeat(1005)).unwrap();
    let path = path.to_str().unwrap();
    let output = run_at(&stub, &["submit", "--batch", path, "--key", "night"]);
    assert_eq!(out(&output), "1005 tasks accepted, ids 1 to 1005\n", "{output:?}");
    let (first, second) = (stub.request(), stub.request());
    assert!(first.head.contains("idempotency-key: night-1"), "{}", first.head);
    assert!(first.head.contains("content-type: application/x-ndjson"), "{}", first.head);
    assert!(second.head.contains("idempotency-key: night-2"), "{}", second.head);
    assert_eq!((first.body.len(), second.body), (3000, "{}\n".repeat(5)));
}

#[test]
fn a_refused_batch_names_the_lines_and_what_was_accepted_before() {
    let accepted: Vec<String> = (1..=1000).map(|id| task(id, "QUEUED")).collect();
    let problem = r#"{"detail":"1 task is wrong",
        "errors":[{"index":2,"field":"taskName","message":"is required"}]}"#;
    let stub = Stub::new(&[
        ("POST /api/v1/tasks/batch", 201, &format!("[{}]", accepted.join(","))),
        ("POST /api/v1/tasks/batch", 400, problem),
    ]);
    let mut command = program(&["submit", "--batch", "-", "--json"], &[]);
    command.env("TASK_SCHEDULER_SERVER", &stub.url).stdin(Stdio::piped());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all("{}\n".repeat(1010).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 2);
    let said = err(&output);
    assert!(said.contains("line 1003: 1 task is wrong"), "{said}");
    assert!(said.contains("the 1000 tasks before it have been accepted"), "{said}");
    let printed: serde_json::Value = serde_json::from_str(&out(&output)).unwrap();
    assert_eq!(printed.as_array().unwrap().len(), 1000);
}

#[test]
fn a_list_is_a_table_json_or_ids() {
    let name = r#""taskName":"evil\u001b[2J""#;
    let page = format!(
        r#"{{"content":[{},{{"id":12,"status":"FAILED","taskType":"T",{name}}}],
        "totalElements":2,"totalPages":1,"number":0}}"#,
        task(3, "COMPLETED")
    );
    let stub = Stub::new(&[("GET /api/v1/tasks", 200, &page)]);
    let table = run_at(&stub, &["list", "--status", "failed", "--type", "a b&c", "--size", "5"]);
    let target = stub.request().head.lines().next().unwrap().to_owned();
    assert!(target.contains("?status=failed&taskType=a%20b%26c&size=5 "), "{target}");
    let text = out(&table);
    assert!(
        text.starts_with("ID  STATUS     PRIORITY  TYPE  CREATED  NAME\n3   COMPLETED"),
        "{text}"
    );
    assert!(!text.contains('\x1b'), "{text}");
    assert_eq!(out(&run_at(&stub, &["list", "-o", "name"])), "3\n12\n");
    assert_eq!(out(&run_at(&stub, &["list", "-o", "json"])).trim(), page);
}

#[test]
fn get_shows_the_fields_in_reading_order() {
    let stub = Stub::new(&[("GET /api/v1/tasks/7", 200, &task(7, "QUEUED"))]);
    let text = out(&run_at(&stub, &["get", "7"]));
    let names: Vec<&str> = text.lines().filter_map(|l| l.split_whitespace().next()).collect();
    assert_eq!(names, ["id", "taskName", "taskType", "status"]);
}

#[test]
fn the_servers_refusals_become_exit_codes_and_its_reasons_are_told() {
    let codes = [(400, 2), (401, 6), (403, 6), (404, 3), (409, 4), (422, 1), (429, 5), (500, 1)];
    let more = [(502, 5), (503, 5), (504, 5), (507, 1), (301, 1)];
    for (status, expected) in codes.into_iter().chain(more) {
        let stub = Stub::new(&[("GET /api/v1/tasks/7", status, r#"{"detail":"because"}"#)]);
        let output = run_at(&stub, &["get", "7"]);
        assert_eq!((code(&output), out(&output).as_str()), (expected, ""), "{status}");
        assert_eq!(err(&output), "taskscheduler: because\n", "{status}");
    }
}

#[test]
fn all_ids_are_tried_and_the_first_refusal_decides_the_exit_code() {
    let stub = Stub::new(&[
        ("POST /api/v1/tasks/1/cancel", 200, &task(1, "CANCELLED")),
        ("POST /api/v1/tasks/2/cancel", 404, r#"{"detail":"no such task"}"#),
        ("POST /api/v1/tasks/3/cancel", 409, r#"{"detail":"it had ended"}"#),
        ("POST /api/v1/tasks/4/cancel", 202, &task(4, "RUNNING")),
    ]);
    let output = run_at(&stub, &["cancel", "1", "2", "3", "4"]);
    assert_eq!(code(&output), 3);
    assert_eq!(out(&output), "task 1 is CANCELLED\ntask 4 has been asked to stop\n");
    assert!(err(&output).contains("task 2: no such task"));
    assert!(err(&output).contains("task 3: it had ended"));
    let retried = Stub::new(&[("POST /api/v1/tasks/5/retry", 200, &task(5, "QUEUED"))]);
    assert_eq!(out(&run_at(&retried, &["retry", "5", "-o", "name"])), "5\n");
}

#[test]
fn nobody_there_ends_with_5_and_says_what_to_do() {
    // A port that was free a moment ago: nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let server = format!("http://{free}");
    for args in [&["get", "1"][..], &["health"], &["submit", "T"], &["cancel", "1", "2"]] {
        let output = program(args, &[("TASK_SCHEDULER_SERVER", &server)]).output().unwrap();
        assert_eq!(code(&output), 5, "{args:?}");
        assert!(err(&output).contains("taskscheduler serve"), "{}", err(&output));
    }
    let silent = Stub::silent();
    let output = run_at(&silent, &["submit", "T", "--timeout", "100ms"]);
    assert_eq!(code(&output), 5);
    assert!(err(&output).contains("may have had its effect"), "{}", err(&output));
    assert_eq!(code(&run(&["get", "1", "--server", "ftp://x"])), 2);
    assert_eq!(code(&run(&["get", "1", "--server", "http://"])), 2);
}

#[test]
fn health_is_0_when_up_and_4_when_not() {
    let up = Stub::new(&[("GET /actuator/health", 200, r#"{"status":"UP"}"#)]);
    let output = run_at(&up, &["health"]);
    assert_eq!((code(&output), out(&output).as_str()), (0, "UP\n"));
    let body = r#"{"status":"OUT_OF_SERVICE"}"#;
    let draining = Stub::new(&[("GET /actuator/health/readiness", 503, body)]);
    let output = run_at(&draining, &["health", "--ready"]);
    assert_eq!((code(&output), out(&output).as_str()), (4, "OUT_OF_SERVICE\n"));
    let other = Stub::new(&[("GET /actuator/health", 200, "<html>")]);
    assert_eq!(code(&run_at(&other, &["health"])), 1);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = program(&["config", "default"], &[]).stdout(writer).output().unwrap();
    assert_eq!((code(&output), err(&output).as_str()), (0, ""));
}

#[test]
fn colour_stays_out_of_pipes_and_messages_out_of_the_data() {
    let stub = Stub::new(&[("GET /api/v1/tasks/7", 200, &task(7, "FAILED"))]);
    let output = run_at(&stub, &["get", "7"]);
    assert!(!out(&output).contains('\x1b') && err(&output).is_empty());
}

#[test]
fn the_configuration_is_checked_and_shown_with_origins() {
    let directory = tempfile::tempdir().unwrap();
    let at = |args: &[&str], text: &str| {
        std::fs::write(directory.path().join("taskscheduler.toml"), text).unwrap();
        program(args, &[]).current_dir(directory.path()).output().unwrap()
    };
    let good = at(&["config", "check"], "[engine]\ncores = 1\n");
    assert_eq!(code(&good), 0);
    assert_eq!(out(&good), "the configuration is in order (taskscheduler.toml)\n");
    let bad = at(&["config", "check"], "[engine]\ncors = 1\n");
    assert_eq!(code(&bad), 4);
    let told = "taskscheduler.toml:2: unknown key engine.cors; did you mean engine.cores?";
    assert!(err(&bad).contains(told), "{}", err(&bad));
    let open = at(&["config", "check"], "[api]\nlisten = '0.0.0.0:80'\n");
    assert_eq!(code(&open), 4);
    let shown = at(&["config", "show", "--origin", "--data", "/d"], "[engine]\ncores = 1\n");
    assert!(out(&shown).contains("cores = \"1\"  # taskscheduler.toml:2\n"), "{}", out(&shown));
    assert!(out(&shown).contains("data = \"/d\"  # flag --data\n"));
    let json = at(&["config", "show", "--json"], "");
    let json: serde_json::Value = serde_json::from_str(&out(&json)).unwrap();
    assert_eq!(json["api.listen"]["origin"], "default");
}

#[test]
fn serve_refuses_an_open_address_and_stores_it_cannot_use() {
    let refused = |args: &[&str], word: &str| {
        let output = run(args);
        assert_eq!((code(&output), out(&output).as_str()), (4, ""), "{args:?}");
        assert!(err(&output).contains(word), "{}", err(&output));
        assert!(!err(&output).contains("canary"), "{}", err(&output));
    };
    refused(&["serve", "--listen", "0.0.0.0:0"], "--insecure-no-auth");
    refused(&["--listen", "[::]:0"], "--insecure-no-auth");
    refused(&["--redis-url", "redis://:canary@h"], "Redis");
    refused(&["--database-url", "mysql://u:canary@h/d"], "flag --database-url");
}

#[test]
fn a_reset_wants_a_yes() {
    let output = run(&["migrate", "reset"]);
    assert_eq!(code(&output), 2);
    assert!(err(&output).contains("--yes"));
}

#[test]
fn a_schema_is_looked_at_applied_and_taken_away() {
    let directory = tempfile::tempdir().unwrap();
    let migrate = |args: &[&str]| {
        let args = [&["migrate"], args, &["--data", directory.path().to_str().unwrap()]].concat();
        let output = run(&args);
        assert_eq!(code(&output), 0, "{args:?} {output:?}");
        out(&output)
    };
    assert!(migrate(&["info"]).starts_with("pending 1 "));
    let planned = migrate(&["apply", "--dry-run", "--show-sql"]);
    assert!(planned.contains("would apply 1 ") && planned.contains("CREATE TABLE"), "{planned}");
    assert!(migrate(&["info"]).starts_with("pending 1 "), "a dry run changes nothing");
    assert!(migrate(&["apply"]).starts_with("applied 1 "));
    assert!(migrate(&["info"]).starts_with("applied 1 "));
    assert_eq!(migrate(&["apply"]), "the schema is up to date\n");
    migrate(&["reset", "--yes"]);
    assert!(migrate(&["info"]).starts_with("pending 1 "));
}

#[test]
fn the_version_is_told_to_people_and_to_programs() {
    let version = env!("CARGO_PKG_VERSION");
    assert!(out(&run(&["version"])).starts_with(&format!("taskscheduler {version}")));
    let json: serde_json::Value = serde_json::from_str(&out(&run(&["version", "--json"]))).unwrap();
    assert_eq!(json["version"], version);
}
