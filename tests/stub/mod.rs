//! A server on loopback that answers what a test tells it to and remembers what it was asked.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

/// The server; it ends with the test process.
pub struct Stub {
    /// Where it is.
    pub url: String,
    requests: Receiver<Request>,
}

/// One request as it came.
pub struct Request {
    /// The request line and the headers, in lower case but for the first line.
    pub head: String,
    /// The body.
    pub body: String,
}

/// What is answered to a method and a path: each answer once in order, the last one for ever.
struct Script(Vec<(String, u16, String)>);

impl Stub {
    /// A server with these answers: `METHOD /path`, status, body. The query does not count.
    pub fn new(answers: &[(&str, u16, &str)]) -> Stub {
        let own = |(what, status, body): &(&str, u16, &str)| {
            ((*what).to_owned(), *status, (*body).to_owned())
        };
        let mut script = Script(answers.iter().map(own).collect());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (send, requests) = bounded(1000);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that breaks off is the business of the test that made it do so.
                let _ = serve(stream, &mut script, &send);
            }
        });
        Stub { url, requests }
    }

    /// A server that takes connections and never answers.
    pub fn silent() -> Stub {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (send, requests) = bounded(1);
        thread::spawn(move || {
            let streams: Vec<TcpStream> = listener.incoming().flatten().take(100).collect();
            drop((send, streams));
        });
        Stub { url, requests }
    }

    /// The next request that came.
    pub fn request(&self) -> Request {
        self.requests.recv_timeout(Duration::from_secs(10)).expect("no request came")
    }
}

impl Script {
    fn answer(&mut self, method_and_path: &str) -> (u16, String) {
        let fits = |(what, _, _): &(String, u16, String)| what == method_and_path;
        let Some(place) = self.0.iter().position(fits) else {
            return (404, format!(r#"{{"detail":"the stub has no {method_and_path}"}}"#));
        };
        let last = self.0.iter().filter(|answer| fits(answer)).count() == 1;
        let (_, status, body) = if last { self.0[place].clone() } else { self.0.remove(place) };
        (status, body)
    }
}

/// Serves one request and closes, so that a client waits for nothing.
fn serve(stream: TcpStream, script: &mut Script, send: &Sender<Request>) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    let mut length = 0;
    while reader.read_line(&mut head)? > 0 && !head.ends_with("\r\n\r\n") {}
    let (first, headers) = head.split_once("\r\n").unwrap_or((&head, ""));
    let headers = headers.to_ascii_lowercase();
    for line in headers.lines() {
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    let mut words = first.split(' ');
    let (method, target) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let path = target.split('?').next().unwrap_or("");
    let (status, answer) = script.answer(&format!("{method} {path}"));
    let request = Request {
        head: format!("{first}\n{headers}"),
        body: String::from_utf8_lossy(&body).into(),
    };
    // Tests that do not look at requests leave them lying.
    let _ = send.try_send(request);
    let length = answer.len();
    let mut stream = reader.into_inner();
    write!(
        stream,
        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
         Connection: close\r\n\r\n{answer}"
    )
}
