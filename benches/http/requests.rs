//! The requests that the loads send.

use std::io::Write;
use std::time::Duration;

use taskscheduler::clock::{Clock, SystemClock};

use super::library::now_us;

/// The size that the goals are for, in bytes.
const PAYLOAD: [u8; 100] = [b'x'; 100];

/// One task a request.
pub fn single(task_type: &'static str) -> impl FnMut(u64, &mut Vec<u8>) {
    let payload = String::from_utf8_lossy(&PAYLOAD).into_owned();
    let mut body = Vec::with_capacity(512);
    move |number, output| {
        body.clear();
        item(&mut body, number, task_type, &payload, "");
        post(output, "/api/v1/tasks", &body);
    }
}

/// One task a request, with the time at which it is sent as its payload.
pub fn stamped(task_type: &'static str) -> impl FnMut(u64, &mut Vec<u8>) {
    let mut body = Vec::with_capacity(512);
    move |number, output| {
        body.clear();
        item(&mut body, number, task_type, &now_us().to_string(), "");
        post(output, "/api/v1/tasks", &body);
    }
}

/// Batches of `size` tasks; `more` is put into each item after its other fields.
pub fn batch(
    size: u64,
    task_type: &'static str,
    more: &str,
) -> impl FnMut(u64, &mut Vec<u8>) + use<> {
    let payload = String::from_utf8_lossy(&PAYLOAD).into_owned();
    // Made once: rendering a thousand items a request would measure this client.
    let mut body = vec![b'['];
    for number in 0..size {
        if number > 0 {
            body.push(b',');
        }
        item(&mut body, number, task_type, &payload, more);
    }
    body.push(b']');
    move |_, output| post(output, "/api/v1/tasks/batch", &body)
}

/// The field that makes a task wait, and how long it is until then at the least.
pub fn due_in(wait: Duration) -> (String, i64) {
    let due_ms = SystemClock::new().now().0 + wait.as_millis() as i64;
    let due = jiff::Timestamp::from_millisecond(due_ms).expect("a time of this age");
    (format!(",\"scheduledTime\":\"{due}\""), due_ms)
}

fn item(body: &mut Vec<u8>, number: u64, task_type: &str, payload: &str, more: &str) {
    write!(
        body,
        "{{\"taskName\":\"bench-{number}\",\"taskType\":\"{task_type}\",\
         \"payload\":\"{payload}\"{more}}}"
    )
    .expect("a vector takes it");
}

fn post(output: &mut Vec<u8>, path: &str, body: &[u8]) {
    write!(
        output,
        "POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    )
    .expect("a vector takes it");
    output.extend_from_slice(body);
}
