//! The bell that wakes the writer.

use crossbeam_channel::{Receiver, Sender, bounded};

/// Wakes the writer. Ringing never waits and never gets lost.
#[derive(Debug, Clone)]
pub struct Bell(Sender<()>);

impl Bell {
    /// A bell and the end that hears it.
    pub fn new() -> (Bell, Receiver<()>) {
        let (ring, heard) = bounded(1);
        (Bell(ring), heard)
    }

    /// Rings.
    pub fn ring(&self) {
        // Full: it rings already, and the writer looks at everything once it has heard it.
        let _ = self.0.try_send(());
    }
}
