//! The throw-away servers that other tests stand on: they come, obey, and leave nothing behind.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use test_servers::{Cluster, RedisServer};

fn knock(port: u16) -> std::io::Result<TcpStream> {
    TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(5))
}

fn ping(port: u16) -> std::io::Result<String> {
    let mut stream = knock(port)?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    stream.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    stream.read_exact(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).trim().to_owned())
}

/// The first exchange of a connection: whether it may be encrypted.
fn asks_for_tls(port: u16) -> std::io::Result<char> {
    let mut stream = knock(port)?;
    stream.set_read_timeout(Some(Duration::from_millis(500)))?;
    stream.write_all(&[0, 0, 0, 8, 4, 210, 22, 47])?;
    let mut answer = [0; 1];
    stream.read_exact(&mut answer)?;
    Ok(char::from(answer[0]))
}

#[test]
fn postgres_comes_obeys_and_goes() {
    let cluster = Cluster::start(&["work_mem=5MB"]);
    let (one, other) = (cluster.account(), cluster.account());
    let show = |client: &mut postgres::Client, name: &str| -> String {
        client.query_one(&format!("SHOW {name}"), &[]).unwrap().get(0)
    };
    let mut client = one.connect();
    for on in ["fsync", "full_page_writes", "synchronous_commit"] {
        assert_eq!(show(&mut client, on), "on");
    }
    assert_eq!(show(&mut client, "work_mem"), "5MB");
    client.batch_execute("CREATE SCHEMA mine; CREATE TABLE mine.a (n int)").unwrap();
    assert_eq!(show(&mut client, "is_superuser"), "off");
    assert!(client.batch_execute("CREATE ROLE another").is_err());
    assert_ne!(one.url(), other.url());

    client.execute("INSERT INTO mine.a VALUES (7)", &[]).unwrap();
    cluster.stop();
    assert!(client.execute("SELECT 1", &[]).is_err());
    cluster.start_with(&["work_mem=6MB"]);
    let mut client = one.connect();
    let stored: i32 = client.query_one("SELECT n FROM mine.a", &[]).unwrap().get(0);
    assert_eq!((stored, show(&mut client, "work_mem").as_str()), (7, "6MB"));

    cluster.freeze();
    assert!(asks_for_tls(cluster.port()).is_err(), "a frozen server does not answer");
    cluster.thaw();
    assert_eq!(asks_for_tls(cluster.port()).unwrap(), 'N');
    client.execute("SELECT 1", &[]).unwrap();
    // Dropped frozen, it must go all the same.
    cluster.freeze();
    let (dir, port) = (cluster.dir().to_owned(), cluster.port());
    drop(cluster);
    assert!(!dir.exists() && knock(port).is_err());
}

#[test]
fn redis_comes_obeys_and_goes() {
    let redis = RedisServer::start(&["maxmemory=3mb"]);
    assert_eq!(ping(redis.port()).unwrap(), "+PONG");
    redis.freeze();
    assert!(ping(redis.port()).is_err());
    redis.thaw();
    redis.kill();
    assert!(knock(redis.port()).is_err());
    redis.start_again();
    assert_eq!(ping(redis.port()).unwrap(), "+PONG");
    let port = redis.port();
    drop(redis);
    assert!(knock(port).is_err());
}

/// The name of the test below, which is also its own child.
const CHILD: &str = "servers_end_with_a_process_that_is_killed";

#[test]
fn servers_end_with_a_process_that_is_killed() {
    if std::env::var_os("SERVERS_CHILD").is_some() {
        let (cluster, redis) = (Cluster::start(&[]), RedisServer::start(&[]));
        println!("\nservers {} {} {}", cluster.port(), redis.port(), cluster.dir().display());
        let _ = std::io::stdin().read_line(&mut String::new());
        panic!("the parent kills it");
    }
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([CHILD, "--exact", "--nocapture"])
        .env("SERVERS_CHILD", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let said = lines.find_map(|line| line.unwrap().strip_prefix("servers ").map(str::to_owned));
    let said = said.expect("the child started its servers");
    let mut words = said.split(' ');
    let mut port = || words.next().unwrap().parse::<u16>().unwrap();
    let ports = [port(), port()];
    let dir = Path::new(words.next().unwrap());
    assert!(ports.iter().all(|port| knock(*port).is_ok()) && dir.exists());
    child.kill().unwrap();
    child.wait().unwrap();
    // Nobody can be waited for: the keepers are the killed child's children. Their ports fall
    // silent, and the directory goes last.
    let gone = || ports.iter().all(|port| knock(*port).is_err()) && !dir.exists();
    let clock = taskscheduler::clock::SystemClock::new();
    let waited = || taskscheduler::clock::Clock::mono(&clock).0;
    while !gone() {
        assert!(waited() < 30_000_000, "the servers outlived their test");
        std::thread::park_timeout(Duration::from_millis(20));
    }
}
