//! Deleting ended tasks.

use crate::api::exchange::Exchange;
use crate::api::json::Json;
use crate::api::problem::Problem;
use crate::api::reply::Reply;
use crate::api::time::write_time;
use crate::api::view::time_style;
use crate::api::wire::params::Params;
use crate::domain::StatusKind;
use crate::store::PruneAsk;

/// Tasks deleted in one transaction; between two of them others get their turn.
const SLICE_TASKS: u32 = 2000;

/// `DELETE /api/v1/tasks/cleanup`
pub(crate) fn cleanup(exchange: Exchange) {
    let ask = match ask(exchange.open().query()) {
        Ok(ask) => ask,
        Err(problem) => return exchange.refuse(&problem),
    };
    let older_than = ask.ended_before;
    let engine = exchange.open().desk.engine.clone();
    let exchange = exchange.committed_to();
    engine.prune(
        ask,
        Box::new(move |deleted| match deleted {
            Err(refusal) => exchange.refuse(&Problem::refused(&refusal)),
            Ok(deleted) => {
                let mut json = Json::default();
                json.open().key("message").text("Cleanup completed");
                json.key("deletedCount").number(deleted);
                let style = time_style(exchange.open().desk.settings.compatibility);
                write_time(json.key("olderThan"), older_than, style);
                json.close();
                exchange.answer(Reply::new(200, json.into_bytes()));
            }
        }),
    );
}

fn ask(query: &str) -> Result<PruneAsk, Problem> {
    let mut params = Params::read(query)?;
    let given = params.has("olderThan");
    let ended_before = params.time("olderThan");
    if !given {
        params.fault("olderThan", "is required");
    }
    let mut statuses = Vec::new();
    for name in params.text("status").as_deref().unwrap_or("COMPLETED").split(',') {
        match StatusKind::parse(name).ok().filter(|status| status.is_terminal()) {
            Some(status) if statuses.contains(&status) => {}
            Some(status) => statuses.push(status),
            None => params.fault("status", "must be of COMPLETED, FAILED, CANCELLED"),
        }
    }
    let ended_before = params.finish(ended_before)?.unwrap_or_default();
    Ok(PruneAsk { statuses, ended_before, limit: SLICE_TASKS })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TimeMs;

    #[test]
    fn completed_tasks_are_meant_unless_others_are_named() {
        let ask = |query| ask(query).unwrap();
        let brief = ask("olderThan=1970-01-01T00:00:01Z");
        assert_eq!(
            (brief.statuses, brief.ended_before),
            (vec![StatusKind::Completed], TimeMs(1000))
        );
        let wide = ask("olderThan=2025-01-01T00:00:00&status=failed,CANCELLED,FAILED");
        assert_eq!(wide.statuses, [StatusKind::Failed, StatusKind::Cancelled]);
    }

    #[test]
    fn without_a_time_or_with_an_unfinished_status_nothing_is_deleted() {
        let wrong = |query| -> Vec<String> {
            let faults = ask(query).unwrap_err().faults;
            faults.into_iter().map(|fault| fault.field.into_owned()).collect()
        };
        assert_eq!(wrong(""), ["olderThan"]);
        assert_eq!(wrong("olderThan=&status=FAILED"), ["olderThan"]);
        assert_eq!(wrong("olderThan=yesterday&status=QUEUED"), ["olderThan", "status"]);
    }
}
