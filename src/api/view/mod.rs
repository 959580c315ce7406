//! How things look on the wire.

pub(crate) mod lease;
pub(crate) mod page;
pub(crate) mod task;

use super::settings::{ApiSettings, Compatibility};
use super::time::TimeStyle;

/// Everything that decides how a task is written, beside the task.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    /// The settings of the API.
    pub settings: &'a ApiSettings,
    /// This node's name.
    pub node: &'a str,
    /// Whether payload and result are shown.
    pub payloads: bool,
}

impl View<'_> {
    /// Whether absent values are written as `null`.
    pub(crate) fn nulls(&self) -> bool {
        self.settings.compatibility == Compatibility::Java
    }

    /// How times are written.
    pub(crate) fn style(&self) -> TimeStyle {
        time_style(self.settings.compatibility)
    }
}

/// How times are written.
pub(crate) fn time_style(compatibility: Compatibility) -> TimeStyle {
    match compatibility {
        Compatibility::Own => TimeStyle::Utc,
        Compatibility::Java => TimeStyle::Local,
    }
}
