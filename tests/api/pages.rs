//! Pages: both shapes of Spring's page, totals, orders and cursors.

use serde_json::{Value, json};

use crate::Api;

/// A server with 45 tasks that wait: 30 of type A, 15 of type B with priority LOW.
fn filled() -> Api {
    let mut api = Api::start(&[]);
    let item = |n: usize| match n % 3 {
        0 => format!(r#"{{"taskName":"t{n:02}","taskType":"B","priority":"LOW"}}"#),
        _ => format!(r#"{{"taskName":"t{n:02}","taskType":"A","payload":"p"}}"#),
    };
    let items: Vec<_> = (0..45).map(item).collect();
    let answer = api.post("/api/v1/tasks/batch", &format!("[{}]", items.join(",")));
    assert_eq!(answer.code, 201, "{}", answer.body);
    api.wait_until("/api/v1/tasks", |page| page["totalElements"] == 45);
    api
}

fn names(page: &Value) -> Vec<String> {
    let content = page["content"].as_array().expect("content");
    content.iter().map(|task| task["taskName"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_page_has_the_fields_of_both_generations() {
    let mut api = filled();
    let mut page = api.get("/api/v1/tasks?page=1&size=20&sort=id,asc").json();
    assert_eq!(names(&page), (20..40).map(|n| format!("t{n}")).collect::<Vec<_>>());
    assert!(page["content"][1].get("payload").is_none());
    let page = page.as_object_mut().unwrap();
    page.remove("content");
    assert!(page.remove("nextCursor").is_some_and(|cursor| cursor.is_string()));
    let sort = json!({"sorted": true, "unsorted": false, "empty": false});
    assert_eq!(
        json!(page),
        json!({
            "pageable": {
                "pageNumber": 1, "pageSize": 20, "sort": sort, "offset": 20,
                "paged": true, "unpaged": false,
            },
            "totalElements": 45, "totalPages": 3, "number": 1, "size": 20,
            "numberOfElements": 20, "first": false, "last": false, "empty": false,
            "sort": sort,
            "page": {"size": 20, "number": 1, "totalElements": 45, "totalPages": 3},
        })
    );
}

#[test]
fn totals_are_exact_for_every_filter() {
    let mut api = filled();
    for (query, total) in [
        ("", 45),
        ("?status=QUEUED", 45),
        ("?status=completed", 0),
        ("?taskType=A", 30),
        ("?priority=low", 15),
        ("?status=QUEUED&taskType=B&priority=LOW", 15),
        ("?taskType=B&priority=HIGH", 0),
        ("?status=&priority=&taskType=&page=0&size=20&sort=createdAt,desc", 45),
    ] {
        let page = api.get(&format!("/api/v1/tasks{query}")).json();
        assert_eq!(page["totalElements"], total, "{query}");
        assert_eq!(page["empty"], total == 0, "{query}");
    }
}

#[test]
fn every_sort_field_goes_both_ways() {
    let mut api = filled();
    for field in [
        "id",
        "createdAt",
        "updatedAt",
        "priority",
        "status",
        "taskName",
        "taskType",
        "nextExecutionTime",
    ] {
        let mut page = |direction: &str| {
            let path = format!("/api/v1/tasks?size=100&sort={field}{direction}");
            let answer = api.get(&path);
            assert_eq!(answer.code, 200, "{path}: {}", answer.body);
            names(&answer.json())
        };
        let up = page("");
        assert_eq!(up, page(",asc"), "{field}");
        let mut down = page(",desc");
        down.reverse();
        assert_eq!((up.len(), up), (45, down), "{field}");
    }
}

#[test]
fn cursors_walk_over_everything_once_in_order() {
    let mut api = filled();
    for query in ["sort=id", "sort=createdAt,desc", "sort=priority,desc", "status=QUEUED"] {
        let whole = names(&api.get(&format!("/api/v1/tasks?size=100&{query}")).json());
        let mut walked = Vec::new();
        let mut path = format!("/api/v1/tasks?size=7&{query}");
        for number in 0.. {
            let page = api.get(&path).json();
            assert_eq!((&page["number"], &page["totalElements"]), (&json!(number), &json!(45)));
            walked.extend(names(&page));
            let Some(cursor) = page["nextCursor"].as_str() else {
                assert_eq!(page["last"], true);
                break;
            };
            path = format!("/api/v1/tasks?size=7&{query}&cursor={cursor}");
            assert!(number < 10, "no end to {query}");
        }
        assert_eq!(walked, whole, "{query}");
    }
}

#[test]
fn a_size_above_the_limit_gives_the_limit_and_a_page_beyond_the_end_is_empty() {
    let mut api = filled();
    let page = api.get("/api/v1/tasks?size=5000").json();
    assert_eq!((&page["size"], &page["numberOfElements"]), (&json!(100), &json!(45)));
    let page = api.get("/api/v1/tasks?page=99").json();
    assert_eq!(
        (&page["empty"], &page["last"], &page["first"]),
        (&json!(true), &json!(true), &json!(false))
    );
    let page = api.get("/api/v1/tasks?size=2&sort=id&include=payload").json();
    assert_eq!(page["content"][1]["payload"], "p");
}

#[test]
fn scheduled_tasks_stand_by_priority_then_time() {
    let mut api = Api::start(&[]);
    for (name, priority, time) in [
        ("late", "HIGH", "2098-01-02T00:00:00Z"),
        ("low", "LOW", "2097-01-01T00:00:00Z"),
        ("early", "HIGH", "2098-01-01T00:00:00Z"),
        ("beyond", "CRITICAL", "2099-06-01T00:00:00Z"),
    ] {
        api.submit(&format!(
            r#"{{"taskName":"{name}","taskType":"NOOP","priority":"{priority}",
            "scheduledTime":"{time}"}}"#
        ));
    }
    let path = "/api/v1/tasks/scheduled?beforeTime=2099-01-01T00:00:00Z";
    let page = api.wait_until(path, |page| page["totalElements"] == 3);
    assert_eq!(names(&page), ["early", "late", "low"]);
    assert_eq!(page["content"][0]["nextExecutionTime"], "2098-01-01T00:00:00.000Z");
    assert_eq!(api.get("/api/v1/tasks/scheduled").json()["totalElements"], 0);
}
