//! Rows in the binary form of COPY, collected in memory and sent in one piece.

use std::io::Write;

use postgres::Statement;

use super::session::Session;
use crate::store::StoreError;

/// Rows for one COPY.
pub(super) struct Rows {
    bytes: Vec<u8>,
    columns: u16,
}

impl Rows {
    /// No rows yet, of so many columns.
    pub(super) fn new(columns: usize) -> Rows {
        let mut bytes = Vec::with_capacity(16 * 1024);
        bytes.extend_from_slice(b"PGCOPY\n\xff\r\n\0");
        // No flags, no extension of the header.
        bytes.extend_from_slice(&[0; 8]);
        Rows { bytes, columns: columns as u16 }
    }

    /// Begins a row; its values follow, each by one of the methods below.
    pub(super) fn begin(&mut self) {
        self.bytes.extend_from_slice(&self.columns.to_be_bytes());
    }

    fn put(&mut self, value: &[u8]) {
        self.bytes.extend_from_slice(&(value.len() as u32).to_be_bytes());
        self.bytes.extend_from_slice(value);
    }

    fn null(&mut self) {
        self.bytes.extend_from_slice(&u32::MAX.to_be_bytes());
    }

    pub(super) fn long(&mut self, value: i64) {
        self.put(&value.to_be_bytes());
    }

    pub(super) fn long_opt(&mut self, value: Option<i64>) {
        match value {
            Some(value) => self.put(&value.to_be_bytes()),
            None => self.null(),
        }
    }

    pub(super) fn int(&mut self, value: i32) {
        self.put(&value.to_be_bytes());
    }

    pub(super) fn short(&mut self, value: i16) {
        self.put(&value.to_be_bytes());
    }

    pub(super) fn short_opt(&mut self, value: Option<i16>) {
        match value {
            Some(value) => self.put(&value.to_be_bytes()),
            None => self.null(),
        }
    }

    pub(super) fn real(&mut self, value: f64) {
        self.put(&value.to_be_bytes());
    }

    pub(super) fn flag(&mut self, value: bool) {
        self.put(&[u8::from(value)]);
    }

    pub(super) fn text(&mut self, value: Option<&str>) {
        match value {
            Some(value) => self.put(value.as_bytes()),
            None => self.null(),
        }
    }

    /// Sends the rows.
    pub(super) fn send(
        mut self,
        session: &mut Session,
        into: &Statement,
    ) -> Result<(), StoreError> {
        self.bytes.extend_from_slice(&u16::MAX.to_be_bytes());
        session.run(|client| {
            let mut copy = client.copy_in(into)?;
            // The writer keeps the bytes until it ends; an error of the server comes from there.
            let written = copy.write_all(&self.bytes);
            match (copy.finish(), written) {
                (Ok(_), Err(error)) => Ok(Err(StoreError::Unavailable(error.to_string()))),
                (ended, _) => ended.map(|_| Ok(())),
            }
        })?
    }
}
