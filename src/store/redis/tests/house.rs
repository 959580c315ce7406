//! Getting in: users, passwords, TLS, Sentinels, and servers that are none to be used.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::server::{Server, free_port};
use super::{address, clock, of, settings, until};
use crate::domain::Band;
use crate::store::Incarnation;
use crate::store::redis::documents::Burial;
use crate::store::redis::hints::Hint;
use crate::store::redis::tests::sample::{ended, id};
use crate::store::redis::{
    Level2, Level2Error, Level2Settings, Listener, Notice, PREFIX, RedisAddress, Sentinel, Tls,
};

const TTL: Duration = Duration::from_secs(1);

/// The rules that the README names as the least.
fn least() -> Vec<&'static str> {
    let readme = include_str!("../../../../README.md");
    let line = readme.lines().find_map(|line| line.strip_prefix("ACL SETUSER scheduler on "));
    line.expect("the README names the least").split_whitespace().skip(1).collect()
}

fn greet(address: RedisAddress) -> Result<String, Level2Error> {
    let settings = Level2Settings { address, ..settings(1, TTL, 1) };
    Level2::new(settings, clock()).greet().map(|greeting| greeting.version)
}

#[test]
fn the_least_access_list_is_enough_for_everything_and_gives_nothing_else() {
    let server = Server::start(&[]);
    let mut user = redis::cmd("ACL");
    user.arg("SETUSER").arg("scheduler").arg("on").arg(">s3cret");
    user.arg(least());
    let _: redis::Value = server.ask(&mut user);
    server.tell(&["CONFIG", "SET", "requirepass", "other"]);
    let address = RedisAddress {
        user: "scheduler".into(),
        password: "s3cret".into(),
        ..address(server.port)
    };
    let level2 = Arc::new(of(Level2Settings { address, ..settings(server.port, TTL, 1) }));
    let mut other =
        Listener::new(Arc::new(of(Level2Settings { seed: 2, ..level2.settings.clone() })));
    until("the other listens", || other.step(Duration::from_millis(50)).is_ok());

    let life = level2.life().unwrap();
    let task = ended(1);
    level2.put_documents(&life, std::slice::from_ref(&task), clock().now());
    until("documents are believed", || level2.is_trusted());
    level2.put_documents(&life, &[ended(1)], clock().now());
    assert!(level2.find_document(id(1)).is_some());
    level2.bury(&[Burial { id: id(1), epoch: task.state.epoch, version: 9 }]);
    assert_eq!(level2.find_document(id(1)), None);
    level2.hide_before(clock().now(), clock().now());
    let hint = Hint { id: id(5), band: Band::High, due: clock().now() };
    level2.put_hints(&[hint], clock().now());
    assert_eq!(level2.take_hints(&[(Band::High, 10)]).0.concat(), [id(5)]);
    level2.tell(&[Notice::Wish(Incarnation(9))]);
    let mut heard = None;
    until("the notice arrives", || {
        heard = other.step(Duration::from_millis(50)).unwrap().or(heard.take());
        heard == Some(Notice::Wish(Incarnation(9)))
    });
    let vitals = level2.vitals();
    assert_eq!((vitals.counted.failures, vitals.why), (0, None));
    assert!(level2.is_trusted(), "nothing was refused");

    let foreign = level2.call(|line| redis::cmd("GET").arg("other").query::<Option<String>>(line));
    assert!(matches!(foreign, Err(Level2Error::Odd(_))), "{foreign:?}");
    let flush = level2.call(|line| redis::cmd("FLUSHALL").exec(line));
    assert!(matches!(flush, Err(Level2Error::Odd(_))), "{flush:?}");
    assert!(level2.key("x").starts_with(PREFIX));
}

#[test]
fn a_wrong_password_and_a_missing_one_are_said_and_cost_nothing_else() {
    let server = Server::start(&["--requirepass", "right"]);
    for password in ["wrong", ""] {
        let error = greet(RedisAddress { password: password.into(), ..address(server.port) });
        assert!(matches!(error, Err(Level2Error::Unready(_))), "{error:?}");
        assert!(!error.unwrap_err().to_string().contains("wrong\""));
    }
    assert!(greet(RedisAddress { password: "right".into(), ..address(server.port) }).is_ok());
}

#[test]
fn a_cluster_a_sentinel_and_a_replica_are_refused_with_what_to_do() {
    let cluster = Server::start(&["--cluster-enabled", "yes"]);
    let error = greet(address(cluster.port)).unwrap_err();
    assert!(matches!(error, Level2Error::Unfit(_)) && error.to_string().contains("Cluster"));
    let primary = Server::start(&[]);
    let port = primary.port.to_string();
    let replica = Server::start(&["--replicaof", "127.0.0.1", &port]);
    let error = greet(address(replica.port)).unwrap_err();
    assert!(error.to_string().contains("replica"), "{error}");
}

#[test]
fn sentinels_are_asked_for_the_server_and_one_dead_sentinel_is_passed_over() {
    let primary = Server::start(&[]);
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sentinel.conf");
    let monitor = format!("sentinel monitor main 127.0.0.1 {} 1\n", primary.port);
    std::fs::write(&config, monitor).unwrap();
    let sentinel = Server::start_from(&config);
    let asked = RedisAddress {
        hosts: vec![("127.0.0.1".into(), free_port()), ("127.0.0.1".into(), sentinel.port)],
        sentinel: Some(Sentinel {
            name: "main".into(),
            user: String::new(),
            password: String::new(),
        }),
        ..address(0)
    };
    assert!(greet(asked.clone()).is_ok());
    let mut unknown = asked;
    unknown.sentinel.as_mut().unwrap().name = "other".into();
    let error = greet(unknown).unwrap_err().to_string();
    assert!(error.contains("other"), "{error}");
    let error = greet(address(sentinel.port)).unwrap_err().to_string();
    assert!(error.contains("?sentinel="), "{error}");
}

#[test]
fn tls_believes_the_named_authority_and_no_other_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let openssl = |args: &[&str]| {
        let made = Command::new("openssl").args(args).output().expect("openssl runs");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    };
    let key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    let (ca, ca_key) = (at("ca.pem"), at("ca.key"));
    let ca_args =
        ["req", "-x509", "-subj", "/CN=test", "-days", "2", "-out", &ca, "-keyout", &ca_key];
    openssl(&[&ca_args[..], &key].concat());
    let (pem, pem_key) = (at("server.pem"), at("server.key"));
    let names = "subjectAltName=DNS:localhost";
    let server_args = ["req", "-x509", "-subj", "/CN=r", "-days", "2", "-out", &pem];
    let signed = ["-keyout", &pem_key, "-CA", &ca, "-CAkey", &ca_key, "-addext", names];
    let leaf = ["-addext", "basicConstraints=critical,CA:FALSE"];
    openssl(&[&server_args[..], &signed, &leaf, &key].concat());
    let port = free_port();
    let tls_port = port.to_string();
    let args = ["--tls-port", &tls_port, "--tls-cert-file", &pem, "--tls-key-file", &pem_key];
    let more = ["--tls-ca-cert-file", &ca, "--tls-auth-clients", "no"];
    let _server = Server::start(&[&args[..], &more].concat());
    let with = |host: &str, ca: Option<&str>| RedisAddress {
        hosts: vec![(host.into(), port)],
        tls: Some(Tls::believing(ca.map(std::path::Path::new)).unwrap()),
        ..address(0)
    };
    assert!(greet(with("localhost", Some(&ca))).is_ok());
    let wrong_name = greet(with("127.0.0.1", Some(&ca))).unwrap_err().to_string();
    assert!(wrong_name.contains("certificate"), "{wrong_name}");
    if let Ok(system) = std::panic::catch_unwind(|| with("localhost", None)) {
        let unknown = greet(system).unwrap_err().to_string();
        assert!(unknown.contains("certificate") || unknown.contains("Issuer"), "{unknown}");
    }
}
