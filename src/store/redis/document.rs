//! An ended task as bytes, and back.
//!
//! Whatever a server gives back is checked: a document says its own id and ends with a digest of
//! all of it and of a secret of the store, so one that was cut, mixed up or put there by somebody
//! else is no document.

use std::sync::Arc;

use sha2::{Digest, Sha256};

use crate::domain::{
    Band, Epoch, FailureKind, Form, Payload, RetryPolicy, Run, Spec, State, Status, StatusKind,
    Suspicion, Task, TaskId, TimeMs,
};

/// Rises when the form changes; another version's documents are none.
const FORM: u8 = 1;
const DIGEST_BYTES: usize = 16;

/// No document is longer; larger tasks are read from the store.
pub(super) const DOCUMENT_BYTES_MAX: usize = 256 << 10;

/// The document of a task; `None` for one that has not ended, or is too large.
pub(super) fn write(task: &Task, secret: &[u8; 16]) -> Option<Vec<u8>> {
    if !task.state.status.kind().is_terminal() {
        return None;
    }
    let result = task.state.result.as_ref().map_or(0, Payload::len);
    if task.spec.weight() + result > DOCUMENT_BYTES_MAX / 2 {
        return None;
    }
    let mut pen = Pen(Vec::with_capacity(256 + task.spec.weight() + result));
    pen.0.push(FORM);
    pen.number(task.id.get());
    write_spec(&mut pen, &task.spec);
    write_state(&mut pen, &task.state);
    let digest = digest(&pen.0, secret);
    pen.0.extend_from_slice(&digest);
    (pen.0.len() <= DOCUMENT_BYTES_MAX).then_some(pen.0)
}

/// The task with this id that the bytes are the document of.
pub(super) fn read(id: TaskId, bytes: &[u8], secret: &[u8; 16]) -> Option<Task> {
    let (body, told) = bytes.split_at_checked(bytes.len().checked_sub(DIGEST_BYTES)?)?;
    if digest(body, secret) != told {
        return None;
    }
    let mut eye = Eye(body);
    if eye.byte()? != FORM || eye.number()? != id.get() {
        return None;
    }
    let spec = Arc::new(read_spec(&mut eye)?);
    let state = read_state(&mut eye)?;
    let ended = state.status.kind().is_terminal() && state.completed_at.is_some();
    (ended && eye.0.is_empty()).then_some(Task { id, spec, state })
}

/// Half of a digest that starts with the secret: what is left out keeps it from being continued.
fn digest(body: &[u8], secret: &[u8; 16]) -> [u8; DIGEST_BYTES] {
    let whole = Sha256::new().chain_update(secret).chain_update(body).finalize();
    let mut short = [0; DIGEST_BYTES];
    short.copy_from_slice(&whole[..DIGEST_BYTES]);
    short
}

fn write_spec(pen: &mut Pen, spec: &Spec) {
    let Spec { name, task_type, band, payload, description, scheduled_for, .. } = spec;
    let Spec { timeout_s, retry, tags, unique_key, created_at, .. } = spec;
    pen.text(name);
    pen.text(task_type);
    pen.0.push(band.rank() as u8);
    pen.option(payload.as_ref(), Pen::payload);
    pen.option(description.as_deref(), Pen::text);
    pen.option(*scheduled_for, Pen::time);
    pen.number(u64::from(*timeout_s));
    pen.number(u64::from(retry.retries_max));
    pen.number(retry.delay_ms);
    pen.number(retry.multiplier.to_bits());
    pen.option(tags.as_deref(), Pen::text);
    pen.option(unique_key.as_deref(), Pen::text);
    pen.time(*created_at);
}

fn read_spec(eye: &mut Eye<'_>) -> Option<Spec> {
    Some(Spec {
        name: eye.text()?.into(),
        task_type: eye.text()?.into(),
        band: Band::from_rank(usize::from(eye.byte()?))?,
        payload: eye.option(Eye::payload)?,
        description: eye.option(Eye::text)?.map(Into::into),
        scheduled_for: eye.option(Eye::time)?,
        timeout_s: eye.small()?,
        retry: RetryPolicy {
            retries_max: eye.small()?,
            delay_ms: eye.number()?,
            multiplier: f64::from_bits(eye.number()?),
        },
        tags: eye.option(Eye::text)?.map(Into::into),
        unique_key: eye.option(Eye::text)?.map(Into::into),
        created_at: eye.time()?,
    })
}

fn write_state(pen: &mut Pen, state: &State) {
    pen.0.push(state.status.kind().code());
    pen.number(state.epoch.0);
    pen.number(u64::from(state.retries));
    pen.number(u64::from(state.version));
    pen.time(state.updated_at);
    pen.time(state.ready_at);
    pen.option(state.run, |pen, run| {
        pen.time(run.started_at);
        pen.number(run.took_us);
        pen.number(run.waited_us);
    });
    pen.option(state.last_error.as_ref(), |pen, (kind, message)| {
        pen.text(kind.name());
        pen.text(message);
    });
    pen.option(state.result.as_ref(), Pen::payload);
    pen.option(state.completed_at, Pen::time);
    pen.option(state.worker.as_deref(), Pen::text);
    pen.option(state.progress, |pen, progress| pen.0.push(progress));
    pen.0.push(u8::from(state.cancel_requested));
}

fn read_state(eye: &mut Eye<'_>) -> Option<State> {
    Some(State {
        status: match StatusKind::from_code(eye.byte()?)? {
            StatusKind::Completed => Status::Completed,
            StatusKind::Failed => Status::Failed,
            StatusKind::Cancelled => Status::Cancelled,
            _ => return None,
        },
        epoch: Epoch(eye.number()?),
        retries: eye.small()?,
        version: eye.small()?,
        updated_at: eye.time()?,
        ready_at: eye.time()?,
        run: eye.option(|eye| {
            let (started_at, took_us) = (eye.time()?, eye.number()?);
            Some(Run { started_at, took_us, waited_us: eye.number()? })
        })?,
        last_error: eye.option(|eye| {
            let kind = FailureKind::parse(eye.text()?)?;
            Some((kind, eye.text()?.into()))
        })?,
        result: eye.option(Eye::payload)?,
        completed_at: eye.option(Eye::time)?,
        worker: eye.option(Eye::text)?.map(Into::into),
        progress: eye.option(Eye::byte)?,
        cancel_requested: eye.byte()? == 1,
        // What has ended is out on no lease and suspected of nothing.
        leased_until: None,
        suspicion: Suspicion::None,
    })
}

struct Pen(Vec<u8>);

impl Pen {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn time(&mut self, time: TimeMs) {
        self.number(time.0 as u64);
    }

    fn text(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.0.extend_from_slice(text.as_bytes());
    }

    fn payload(&mut self, payload: &Payload) {
        self.0.push(u8::from(payload.form == Form::Json));
        self.text(&payload.bytes);
    }

    fn option<T>(&mut self, value: Option<T>, write: impl FnOnce(&mut Pen, T)) {
        self.0.push(u8::from(value.is_some()));
        if let Some(value) = value {
            write(self, value);
        }
    }
}

struct Eye<'b>(&'b [u8]);

impl<'b> Eye<'b> {
    fn byte(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn number(&mut self) -> Option<u64> {
        let (number, rest) = self.0.split_first_chunk::<8>()?;
        self.0 = rest;
        Some(u64::from_le_bytes(*number))
    }

    fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn time(&mut self) -> Option<TimeMs> {
        self.number().map(|ms| TimeMs(ms as i64))
    }

    fn text(&mut self) -> Option<&'b str> {
        let length = usize::try_from(self.number()?).ok()?;
        let (text, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        std::str::from_utf8(text).ok()
    }

    fn payload(&mut self) -> Option<Payload> {
        let form = match self.byte()? {
            0 => Form::Text,
            1 => Form::Json,
            _ => return None,
        };
        Some(Payload { form, bytes: self.text()?.into() })
    }

    /// `None`: the bytes are wrong; `Some(None)`: there is no value.
    #[expect(clippy::option_option, reason = "the outer one is the failure, as in all of these")]
    fn option<T>(&mut self, read: impl FnOnce(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.byte()? {
            0 => Some(None),
            1 => read(self).map(Some),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redis::tests::sample::{ended, seed_of};
    use proptest::prelude::*;

    const SECRET: [u8; 16] = *b"a secret of sixt";

    #[test]
    fn a_task_that_has_not_ended_or_is_too_large_has_no_document() {
        let mut task = ended(7);
        assert!(write(&task, &SECRET).is_some());
        task.state.result = Some(Payload::text(&"x".repeat(DOCUMENT_BYTES_MAX)));
        assert_eq!(write(&task, &SECRET), None);
        task.state.result = None;
        task.state.status = Status::Queued;
        assert_eq!(write(&task, &SECRET), None);
    }

    #[test]
    fn a_document_of_another_task_or_of_another_form_is_none() {
        let task = ended(7);
        let bytes = write(&task, &SECRET).unwrap();
        assert_eq!(read(task.id, &bytes, &SECRET).as_ref(), Some(&task));
        assert_eq!(read(ended(8).id, &bytes, &SECRET), None);
        assert_eq!(read(task.id, &bytes, b"another of these!"[..16].try_into().unwrap()), None);
        let mut body = bytes[..bytes.len() - DIGEST_BYTES].to_vec();
        body[0] = FORM + 1;
        let sum = digest(&body, &SECRET);
        body.extend_from_slice(&sum);
        assert_eq!(read(task.id, &body, &SECRET), None);
    }

    proptest! {
        #[test]
        fn every_ended_task_survives(seed in any::<u64>()) {
            let task = seed_of(seed);
            let bytes = write(&task, &SECRET).unwrap();
            prop_assert_eq!(read(task.id, &bytes, &SECRET), Some(task));
        }

        #[test]
        fn any_damage_is_noticed_and_none_panics(
            seed in any::<u64>(), at in any::<prop::sample::Index>(), flip in 1..=255u8,
            cut in any::<prop::sample::Index>(), noise in prop::collection::vec(any::<u8>(), 0..80),
        ) {
            let task = seed_of(seed);
            let bytes = write(&task, &SECRET).unwrap();
            let mut damaged = bytes.clone();
            let at = at.index(damaged.len());
            damaged[at] ^= flip;
            prop_assert_eq!(read(task.id, &damaged, &SECRET), None);
            prop_assert_eq!(read(task.id, &bytes[..cut.index(bytes.len())], &SECRET), None);
            prop_assert_eq!(read(task.id, &noise, &SECRET), None);
            // The same with a digest that fits: nonsense must not panic.
            let mut forged = damaged[..damaged.len() - DIGEST_BYTES].to_vec();
            let sum = digest(&forged, &SECRET);
            forged.extend_from_slice(&sum);
            let _ = read(task.id, &forged, &SECRET);
        }
    }
}
