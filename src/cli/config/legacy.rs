//! The old deployment's names: those that keep a meaning, and those that have none here.

/// Old variables and the keys they set. Where two set one key, the later wins. Spring reads the
/// names of its keys with their dashes left out or, as people write them, made underscores; its
/// third generation moved `spring.redis` to `spring.data.redis`.
pub const VARIABLES: &[(&str, &str)] = &[
    ("SPRING_DATASOURCE_URL", "database.url"),
    ("DATABASE_URL", "database.url"),
    ("SPRING_DATASOURCE_USERNAME", "database.username"),
    ("SPRING_DATASOURCE_PASSWORD", "database.password"),
    ("SPRING_DATASOURCE_HIKARI_MAXIMUMPOOLSIZE", "database.pool-max"),
    ("SPRING_DATASOURCE_HIKARI_MAXIMUM_POOL_SIZE", "database.pool-max"),
    ("SPRING_DATASOURCE_HIKARI_MINIMUMIDLE", "database.pool-min"),
    ("SPRING_DATASOURCE_HIKARI_MINIMUM_IDLE", "database.pool-min"),
    ("SPRING_REDIS_URL", "redis.url"),
    ("SPRING_DATA_REDIS_URL", "redis.url"),
    ("REDIS_URL", "redis.url"),
    ("SPRING_REDIS_HOST", "redis.host"),
    ("SPRING_DATA_REDIS_HOST", "redis.host"),
    ("SPRING_REDIS_PORT", "redis.port"),
    ("SPRING_DATA_REDIS_PORT", "redis.port"),
    ("SPRING_REDIS_USERNAME", "redis.username"),
    ("SPRING_DATA_REDIS_USERNAME", "redis.username"),
    ("SPRING_REDIS_PASSWORD", "redis.password"),
    ("SPRING_DATA_REDIS_PASSWORD", "redis.password"),
];

/// Why an old key has no meaning here, if it is one of those.
pub fn meaningless_key(name: &str) -> Option<&'static str> {
    let field = name.rsplit('.').next().unwrap_or(name);
    let scaling = "the number of threads follows the load within core-pool-size and max-pool-size";
    match field {
        "rejection-policy" | "rejected-execution-policy" => {
            Some("when the queue is full a submit is answered 503 with Retry-After")
        }
        "initial-capacity" => Some("the queue needs no first size"),
        "thread-name-prefix" => Some("threads have fixed names"),
        "allow-core-thread-timeout" => Some("core threads stay"),
        _ if field.starts_with("scaling-") || field.starts_with("scale-") => Some(scaling),
        _ => None,
    }
}

/// Why an old variable has no meaning here, if it is one of those.
pub fn meaningless_variable(name: &str) -> Option<&'static str> {
    if let Some(rest) = name.strip_prefix(super::table::PREFIX) {
        let words = rest.to_ascii_lowercase().replace('_', "-");
        let known = ["scaling-", "scale-", "rejection-policy", "rejected-execution-policy"];
        let others = ["initial-capacity", "thread-name-prefix", "allow-core-thread-timeout"];
        let found = known.iter().chain(&others).find_map(|word| words.find(word));
        return found.and_then(|at| meaningless_key(&words[at..]));
    }
    if matches!(name, "JAVA_OPTS" | "JVM_OPTS") {
        return Some("there is no Java machine here");
    }
    if name == "SERVER_ADDRESS" {
        return Some("api.listen says where the server listens");
    }
    if ["SERVER_SERVLET_", "SERVER_TOMCAT_", "MANAGEMENT_", "LOGGING_LEVEL_"]
        .iter()
        .any(|spring| name.starts_with(spring))
    {
        return Some("it was a setting of Spring");
    }
    let read = name == super::env::SPRING_PROFILE || VARIABLES.iter().any(|(old, _)| *old == name);
    (name.starts_with("SPRING_") && !read).then_some("it was a setting of Spring")
}
