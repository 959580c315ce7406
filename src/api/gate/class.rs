//! Which requests may use the backend connections kept back for them.
//!
//! When the store is frozen every ordinary connection soon holds a request that waits for it. What
//! must still pass then needs no store: health, metrics, and workers' reports, which end work and
//! so make room.

/// How many of the reserved connections a request may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    /// None.
    Ordinary,
    /// Half: reports may have to wait for a commit, and then health must still pass.
    Report,
    /// All.
    Health,
}

impl Class {
    /// The class of a request by its method and target.
    pub(super) fn of(method: &str, target: &str) -> Class {
        let path = target.split('?').next().unwrap_or(target);
        match (method, path) {
            (
                "GET" | "HEAD",
                "/actuator/health" | "/api/v1/tasks/health" | "/metrics" | "/actuator/prometheus",
            ) => Class::Health,
            ("GET" | "HEAD", path) if path.starts_with("/actuator/health/") => Class::Health,
            ("POST", path) => match path.strip_prefix("/api/v1/leases/") {
                Some("heartbeat" | "complete" | "fail" | "release") => Class::Report,
                _ => Class::Ordinary,
            },
            _ => Class::Ordinary,
        }
    }

    /// Idle connections a request of this class leaves untouched, of `reserved` in all.
    pub(super) fn leaves(self, reserved: usize) -> usize {
        match self {
            Class::Ordinary => reserved,
            Class::Report => reserved.div_ceil(2),
            Class::Health => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_health_metrics_and_reports_are_preferred() {
        for (method, target, class) in [
            ("GET", "/actuator/health", Class::Health),
            ("HEAD", "/actuator/health", Class::Health),
            ("GET", "/actuator/health/readiness?x=1", Class::Health),
            ("GET", "/api/v1/tasks/health", Class::Health),
            ("GET", "/metrics", Class::Health),
            ("GET", "/actuator/prometheus", Class::Health),
            ("POST", "/actuator/health", Class::Ordinary),
            ("GET", "/actuator/healthy", Class::Ordinary),
            ("GET", "/api/v1/tasks/1", Class::Ordinary),
            ("POST", "/api/v1/leases/heartbeat", Class::Report),
            ("POST", "/api/v1/leases/complete", Class::Report),
            ("POST", "/api/v1/leases/fail", Class::Report),
            ("POST", "/api/v1/leases/release", Class::Report),
            ("POST", "/api/v1/leases", Class::Ordinary),
            ("POST", "/api/v1/tasks", Class::Ordinary),
        ] {
            assert_eq!(Class::of(method, target), class, "{method} {target}");
        }
    }

    #[test]
    fn reports_leave_health_a_connection_even_of_a_single_reserved_one() {
        assert_eq!(Class::Report.leaves(4), 2);
        assert_eq!(Class::Report.leaves(1), 1);
        assert_eq!(Class::Ordinary.leaves(4), 4);
        assert_eq!(Class::Health.leaves(4), 0);
    }
}
