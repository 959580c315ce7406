//! Endpoints of a real server: those that go on after a 202, and those behind TLS.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::ledger::http::Client;
use super::ledger::server::{Server, Starting, stock};
use super::{task, wait_for};

const ACCEPTED: &str = "HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
const PATIENCE: Duration = Duration::from_secs(30);

/// The heads of a request, once it has come whole.
fn read(stream: impl Read) -> Option<String> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = header(&head, "content-length")?.parse().ok()?;
    reader.read_exact(&mut vec![0; length]).ok()?;
    Some(head)
}

fn header<'h>(head: &'h str, name: &str) -> Option<&'h str> {
    head.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        key.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// An endpoint; what it was asked comes out, before it answers.
fn endpoint(answer: impl Fn(&str) + Send + 'static) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            if let Some(head) = read(&stream) {
                answer(&head);
                let _ = tell.send(head);
                let _ = stream.write_all(ACCEPTED.as_bytes());
            }
        }
    });
    (address, told)
}

fn server(folder: &Path, url: &str, authority: Option<&Path>) -> Server {
    let config = format!(
        "[types.HOOK]\nexecutor = \"http\"\nurl = \"{url}\"\nallow-private = true\n\
         circuit-breaker = false\n"
    );
    std::fs::write(folder.join("taskscheduler.toml"), config).unwrap();
    let mut command = stock(&folder.join("data"));
    command.arg("--config").arg(folder.join("taskscheduler.toml"));
    if let Some(authority) = authority {
        command.env("SSL_CERT_FILE", authority);
    }
    Starting::new(command).ready()
}

fn submit(client: &mut Client, seconds: u64) -> u64 {
    let task = json!({"taskName": "t", "taskType": "HOOK", "maxRetryAttempts": 0,
        "executionTimeoutSeconds": seconds});
    let answer = client.post("/api/v1/tasks", &task.to_string()).unwrap();
    assert_eq!(answer.code, 201, "{}", answer.body);
    answer.json()["id"].as_u64().unwrap()
}

/// What a report about one lease was answered.
fn report(client: &mut Client, what: &str, item: Value) -> Value {
    let body = json!({"workerId": "e", "leases": [item]}).to_string();
    let answer = client.post(&format!("/api/v1/leases/{what}"), &body).unwrap();
    assert_eq!(answer.code, 200, "{}", answer.body);
    answer.json()["leases"][0].clone()
}

fn token(told: &Receiver<String>) -> String {
    let head = told.recv_timeout(PATIENCE).expect("the endpoint is asked");
    header(&head, "task-lease-token").expect("a token").to_owned()
}

fn await_status(client: &mut Client, id: u64, status: &str) -> Value {
    wait_for(&format!("task {id} is not {status}"), || task(client, id)["status"] == status);
    task(client, id)
}

#[test]
fn an_endpoint_that_answers_202_completes_its_task_later_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (address, told) = endpoint(|_| ());
    let first = server(folder.path(), &format!("http://{address}/"), None);
    let mut client = Client::new(first.address);
    let (one, two, bad) =
        (submit(&mut client, 60), submit(&mut client, 60), submit(&mut client, 60));
    let (mut tokens, mut ids) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let head = told.recv_timeout(PATIENCE).unwrap();
        ids.push(header(&head, "task-id").unwrap().parse::<u64>().unwrap());
        tokens.push(header(&head, "task-lease-token").unwrap().to_owned());
    }
    let token_of = |id| tokens[ids.iter().position(|known| *known == id).unwrap()].clone();
    let done = |id| json!({"leaseToken": token_of(id), "result": {"n": id}});
    assert_eq!(report(&mut client, "complete", done(one))["ok"], true);
    assert_eq!(task(&mut client, one)["result"], json!({"n": one}));
    // Its progress is told as a worker tells it, once the task has been handed over.
    let beat = json!({"leaseToken": token_of(two), "progress": 40});
    wait_for("its progress does not count", || {
        report(&mut client, "heartbeat", beat.clone())["lost"].is_null()
    });
    first.kill();
    let second = server(folder.path(), &format!("http://{address}/"), None);
    let mut client = Client::new(second.address);
    let running = task(&mut client, two);
    assert_eq!((&running["status"], &running["attempt"]), (&json!("RUNNING"), &json!(1)));
    assert_eq!(report(&mut client, "complete", done(two))["ok"], true);
    let failed = json!({"leaseToken": token_of(bad), "error": "no", "retryable": false});
    assert_eq!(report(&mut client, "fail", failed)["ok"], true);
    assert_eq!(task(&mut client, two)["status"], "COMPLETED");
    let bad = task(&mut client, bad);
    assert_eq!((&bad["status"], &bad["lastErrorMessage"]), (&json!("FAILED"), &json!("no")));
    assert!(told.try_recv().is_err(), "an endpoint was asked twice");
}

#[test]
fn the_deadline_and_a_cancel_end_what_an_endpoint_goes_on_with() {
    let folder = tempfile::tempdir().unwrap();
    let (address, told) = endpoint(|_| ());
    let server = server(folder.path(), &format!("http://{address}/"), None);
    let mut client = Client::new(server.address);
    let late = submit(&mut client, 1);
    let late_token = token(&told);
    let ended = await_status(&mut client, late, "FAILED");
    let said = ended["lastErrorMessage"].as_str().unwrap();
    assert!(said.ends_with("did not report within 1 s"), "{said}");
    assert_eq!(report(&mut client, "complete", json!({"leaseToken": late_token}))["lost"], true);
    let unwanted = submit(&mut client, 60);
    let unwanted_token = token(&told);
    client.post(&format!("/api/v1/tasks/{unwanted}/cancel"), "").unwrap();
    await_status(&mut client, unwanted, "CANCELLED");
    let lost = report(&mut client, "complete", json!({"leaseToken": unwanted_token}));
    assert_eq!(lost["lost"], true);
    assert_eq!(task(&mut client, unwanted)["status"], "CANCELLED");
}

#[test]
fn an_endpoint_may_complete_its_task_before_it_answers_202() {
    let folder = tempfile::tempdir().unwrap();
    let place = Arc::new(std::sync::Mutex::new(None::<SocketAddr>));
    let at = Arc::clone(&place);
    let (address, told) = endpoint(move |head| {
        let mut client = Client::new(at.lock().unwrap().expect("the server runs"));
        let item = json!({"leaseToken": header(head, "task-lease-token"), "result": "early"});
        assert_eq!(report(&mut client, "complete", item)["ok"], true);
    });
    let server = server(folder.path(), &format!("http://{address}/"), None);
    *place.lock().unwrap() = Some(server.address);
    let mut client = Client::new(server.address);
    for _ in 0..20 {
        let id = submit(&mut client, 60);
        token(&told);
        assert_eq!(await_status(&mut client, id, "COMPLETED")["result"], "early");
    }
}

fn openssl(folder: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output();
    let output = output.expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An authority, and an endpoint with a certificate for this name from it.
fn encrypted(folder: &Path, name: &str) -> SocketAddr {
    openssl(
        folder,
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -keyout ca.key -out ca.pem",
    );
    openssl(folder, "req -newkey rsa:2048 -nodes -subj /CN=end -keyout end.key -out end.csr");
    std::fs::write(folder.join("names"), format!("subjectAltName={name}")).unwrap();
    openssl(
        folder,
        "x509 -req -in end.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names \
         -out end.pem",
    );
    let certificate = CertificateDer::from_pem_file(folder.join("end.pem")).unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("end.key")).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, stream);
            if read(&mut stream).is_some() {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret");
                let _ = stream.flush();
            }
        }
    });
    address
}

#[test]
fn an_endpoint_behind_tls_is_believed_by_its_authority_and_its_name() {
    for (name, believed, ends) in [
        ("IP:127.0.0.1", true, "COMPLETED"),
        ("DNS:elsewhere.test", true, "FAILED"),
        ("IP:127.0.0.1", false, "FAILED"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let address = encrypted(folder.path(), name);
        let authority = folder.path().join("ca.pem");
        let authority = Some(&*authority).filter(|_| believed);
        let server = server(folder.path(), &format!("https://{address}/"), authority);
        let mut client = Client::new(server.address);
        let id = submit(&mut client, 20);
        let ended = await_status(&mut client, id, ends);
        let said = ended["lastErrorMessage"].as_str().unwrap_or_default();
        match ends {
            "COMPLETED" => assert_eq!(ended["result"], "secret"),
            _ => assert!(said.contains("certificate"), "{name}, {believed}: {said}"),
        }
    }
}
