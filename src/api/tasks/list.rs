//! Pages of tasks.

use crate::api::exchange::Exchange;
use crate::api::json::Json;
use crate::api::problem::Problem;
use crate::api::reply::Reply;
use crate::api::view::page::{self, Frame};
use crate::api::wire::cursor::Mark;
use crate::api::wire::params::Params;
use crate::domain::{Submission, TimeMs};
use crate::store::{Filter, PageAsk, Place, Reader, ScheduledAsk, SortField, Sorting};

const SIZE_DEFAULT: u64 = 20;

/// A client that asks for more gets so many, as before.
const SIZE_MAX: u64 = 100;

/// What an integer of the old clients can count to.
const PAGE_MAX: u64 = i32::MAX as u64;

const DAY_MS: u64 = 86_400_000;

/// The order where none is asked for.
const NEWEST_FIRST: Sorting = Sorting { field: SortField::CreatedAt, descending: true };

/// `GET /api/v1/tasks`
pub(crate) fn list(exchange: Exchange) {
    let budget_ms = exchange.open().desk.settings.page_budget_ms;
    let (ask, before) = match list_ask(exchange.open().query(), budget_ms) {
        Ok(asked) => asked,
        Err(problem) => return exchange.refuse(&problem),
    };
    let look = move |reader: &mut dyn Reader| reader.page(&ask).map(|page| (ask, page));
    exchange.read(look, move |open, (ask, page)| {
        let after = before + page.tasks.len() as u64;
        let mark = page.next.clone().map(|cursor| Mark { before: after, cursor });
        let frame = Frame {
            before,
            size: ask.size.into(),
            sorted: true,
            next_cursor: mark.map(|mark| mark.encode(&ask.filter, ask.sorting)),
        };
        let mut json = Json::default();
        page::write(&mut json, &page, &frame, &open.view(ask.payloads));
        Reply::new(200, json.into_bytes())
    });
}

/// `GET /api/v1/tasks/scheduled`
pub(crate) fn scheduled(exchange: Exchange) {
    let (now, budget_ms) = {
        let settings = &exchange.open().desk.settings;
        (settings.clock.now(), settings.page_budget_ms)
    };
    let ask = match scheduled_ask(exchange.open().query(), now, budget_ms) {
        Ok(ask) => ask,
        Err(problem) => return exchange.refuse(&problem),
    };
    let look = move |reader: &mut dyn Reader| reader.scheduled(&ask).map(|page| (ask, page));
    exchange.read(look, |open, (ask, page)| {
        let (before, size) = (ask.offset, ask.size.into());
        let frame = Frame { before, size, sorted: false, next_cursor: None };
        let mut json = Json::default();
        page::write(&mut json, &page, &frame, &open.view(ask.payloads));
        Reply::new(200, json.into_bytes())
    });
}

/// What page is asked for, and how many tasks are on the pages before it.
fn list_ask(query: &str, budget_ms: u32) -> Result<(PageAsk, u64), Problem> {
    let mut params = Params::read(query)?;
    let filter = Filter {
        status: params.status(),
        band: params.band(),
        task_type: params.text("taskType").map(std::borrow::Cow::into_owned),
    };
    if filter.task_type.as_deref().is_some_and(|name| {
        name.chars().count() > Submission::TYPE_CHARS_MAX || name.contains('\0')
    }) {
        params.fault("taskType", "must be at most 100 characters, none of them U+0000");
    }
    let (page, size) = page_and_size(&mut params);
    let sorting = params.sorting().unwrap_or(NEWEST_FIRST);
    let payloads = params.payloads();
    let mut before = page.unwrap_or(0) * size;
    let mut place = Place::Offset(before);
    if let Some(text) = params.text("cursor") {
        match Mark::decode(&text, &filter, sorting) {
            _ if page.is_some() => params.fault("cursor", "cannot be given together with page"),
            None => params.fault("cursor", "must be a nextCursor of the same filter and sort"),
            Some(mark) => {
                before = mark.before;
                place = Place::After(mark.cursor);
            }
        }
    }
    let size = size as u32;
    params.finish((PageAsk { filter, sorting, place, size, payloads, budget_ms }, before))
}

fn scheduled_ask(query: &str, now: TimeMs, budget_ms: u32) -> Result<ScheduledAsk, Problem> {
    let mut params = Params::read(query)?;
    let due_by = params.time("beforeTime").unwrap_or_else(|| now.plus_ms(DAY_MS));
    let (page, size) = page_and_size(&mut params);
    let payloads = params.payloads();
    let (offset, size) = (page.unwrap_or(0) * size, size as u32);
    params.finish(ScheduledAsk { due_by, offset, size, payloads, budget_ms })
}

fn page_and_size(params: &mut Params<'_>) -> (Option<u64>, u64) {
    let page = params.number("page", 0, PAGE_MAX);
    let size = params.number("size", 1, PAGE_MAX).unwrap_or(SIZE_DEFAULT);
    (page, size.min(SIZE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{StatusKind, TaskId};
    use crate::store::Cursor;

    fn wrong(query: &str) -> Vec<String> {
        let faults = list_ask(query, 100).unwrap_err().faults;
        faults.into_iter().map(|fault| fault.field.into_owned()).collect()
    }

    #[test]
    fn a_page_is_the_newest_twenty_unless_more_is_said() {
        let (ask, before) = list_ask("", 100).unwrap();
        assert_eq!((ask.place, ask.size, before), (Place::Offset(0), 20, 0));
        assert_eq!(ask.sorting, NEWEST_FIRST);
        let (ask, before) = list_ask("page=3&size=1000&status=failed", 100).unwrap();
        assert_eq!((ask.place, ask.size, before), (Place::Offset(300), 100, 300));
        assert_eq!(ask.filter.status, Some(StatusKind::Failed));
    }

    #[test]
    fn what_cannot_be_a_page_is_refused() {
        for (query, fields) in [
            ("page=-1", vec!["page"]),
            ("size=0", vec!["size"]),
            ("page=2147483648", vec!["page"]),
            ("page=1.5&size=x", vec!["page", "size"]),
            ("sort=payload", vec!["sort"]),
            ("sort=id,sideways", vec!["sort"]),
            ("status=DONE&priority=urgent", vec!["status", "priority"]),
            ("cursor=abc", vec!["cursor"]),
        ] {
            assert_eq!(wrong(query), fields, "{query}");
        }
    }

    #[test]
    fn a_cursor_goes_on_where_its_page_ended_and_knows_the_number() {
        let cursor = Cursor { value: "x".into(), id: TaskId::new(9).unwrap() };
        let mark = Mark { before: 40, cursor: cursor.clone() };
        let text = mark.encode(&Filter::default(), NEWEST_FIRST);
        let (ask, before) = list_ask(&format!("cursor={text}"), 100).unwrap();
        assert_eq!((ask.place, before), (Place::After(cursor), 40));
        assert_eq!(wrong(&format!("cursor={text}&page=2")), ["cursor"]);
        assert_eq!(wrong(&format!("cursor={text}&sort=id")), ["cursor"]);
    }

    #[test]
    fn scheduled_tasks_are_those_of_the_next_day() {
        let ask = scheduled_ask("", TimeMs(5), 100).unwrap();
        assert_eq!(ask.due_by, TimeMs(86_400_005));
        assert!(scheduled_ask("beforeTime=soon", TimeMs(5), 100).is_err());
    }
}
