//! A page as JSON, in the shapes of both generations of Spring's page.

use super::{View, task};
use crate::api::json::Json;
use crate::store::Page;

/// Where a page stands and how it was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    /// Tasks on the pages before.
    pub before: u64,
    /// Most tasks on a page.
    pub size: u64,
    /// Whether the client could choose the order.
    pub sorted: bool,
    /// The cursor of the next page.
    pub next_cursor: Option<String>,
}

/// Writes the page.
pub(crate) fn write(json: &mut Json, page: &Page, frame: &Frame, view: &View<'_>) {
    let Frame { before, size, .. } = *frame;
    let count = page.tasks.len() as u64;
    let pages = page.total.div_ceil(size);
    let number = before / size;
    json.open().key("content").open_array();
    for task in &page.tasks {
        task::write(json, task, view, None);
    }
    json.close_array();
    json.key("pageable").open();
    json.key("pageNumber").number(number).key("pageSize").number(size);
    write_sort(json, frame.sorted);
    json.key("offset").number(before).key("paged").flag(true).key("unpaged").flag(false).close();
    json.key("totalElements").number(page.total).key("totalPages").number(pages);
    json.key("number").number(number).key("size").number(size);
    json.key("numberOfElements").number(count);
    json.key("first").flag(before == 0).key("last").flag(before + count >= page.total);
    json.key("empty").flag(count == 0);
    write_sort(json, frame.sorted);
    json.key("page").open().key("size").number(size).key("number").number(number);
    json.key("totalElements").number(page.total).key("totalPages").number(pages).close();
    if page.total_is_lower_bound {
        json.key("totalIsLowerBound").flag(true);
    }
    match &frame.next_cursor {
        Some(cursor) => drop(json.key("nextCursor").text(cursor)),
        None if view.nulls() => drop(json.key("nextCursor").null()),
        None => {}
    }
    json.close();
}

fn write_sort(json: &mut Json, sorted: bool) {
    json.key("sort").open().key("sorted").flag(sorted).key("unsorted").flag(!sorted);
    json.key("empty").flag(!sorted).close();
}
