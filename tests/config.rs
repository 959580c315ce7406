//! Where settings come from, which source wins, and what is said about mistakes.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use taskscheduler::cli::config::{
    Asked, ConfigError, Cores, DatabaseUrl, KEYS, Loaded, Origins, RedisUrl, Setting, Surroundings,
    as_json, as_toml, defaults, load,
};
use tempfile::TempDir;

/// A directory with files, variables and flags: everything a start sees.
struct Scene {
    directory: TempDir,
    variables: BTreeMap<String, String>,
    asked: Asked,
}

impl Scene {
    fn new() -> Scene {
        let directory = tempfile::tempdir().unwrap();
        Scene { directory, variables: BTreeMap::new(), asked: Asked::default() }
    }

    fn file(self, name: &str, text: &str) -> Scene {
        fs::write(self.directory.path().join(name), text).unwrap();
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Scene {
        self.variables.insert(name.into(), value.into());
        self
    }

    fn flag(mut self, key: &'static str, flag: &'static str, value: &str) -> Scene {
        self.asked.flags.push((key, flag, value.into()));
        self
    }

    fn profile(mut self, names: &str) -> Scene {
        self.asked.profile = Some(names.into());
        self
    }

    fn load(&self) -> Result<Loaded, ConfigError> {
        let directories = vec![self.directory.path().to_path_buf()];
        let around = Surroundings { variables: self.variables.clone(), directories };
        load(&self.asked, &around)
    }

    fn loaded(&self) -> Loaded {
        self.load().unwrap_or_else(|error| panic!("{error}"))
    }

    /// What is wrong, with the directory's name taken out.
    fn wrong(&self) -> String {
        let error = self.load().err().expect("the configuration should have been refused");
        error.to_string().replace(&format!("{}/", self.directory.path().display()), "")
    }
}

/// The value of a key and where it came from, without the directory's name.
fn shown(scene: &Scene, key: &str) -> (String, String) {
    let json = as_json(&scene.loaded());
    let directory = format!("{}/", scene.directory.path().display());
    let text = |field: &str| json[key][field].as_str().unwrap().replace(&directory, "");
    (text("value"), text("origin"))
}

#[test]
fn flag_wins_over_environment_over_profile_over_file_over_default() {
    let mut scene = Scene::new();
    let mut expect = |change: fn(Scene) -> Scene, value: &str, origin: &str| {
        scene = change(std::mem::replace(&mut scene, Scene::new()));
        assert_eq!(shown(&scene, "engine.steal-batch"), (value.into(), origin.into()));
    };
    expect(|scene| scene, "8", "default");
    let in_file =
        |scene: Scene| scene.file("taskscheduler.toml", "# a comment\n[engine]\nsteal-batch = 9\n");
    expect(in_file, "9", "taskscheduler.toml:3");
    let in_profile = |scene: Scene| {
        scene.file("taskscheduler-dev.toml", "engine.steal-batch = 10").profile("dev")
    };
    expect(in_profile, "10", "taskscheduler-dev.toml:1");
    let name = "environment TASK_SCHEDULER_ENGINE_STEAL_BATCH";
    let in_variable = |s: Scene| s.variable("TASK_SCHEDULER_ENGINE_STEAL_BATCH", "11");
    expect(in_variable, "11", name);
    expect(|s| s.flag("engine.steal-batch", "--steal-batch", "12"), "12", "flag --steal-batch");
}

#[test]
fn profiles_apply_in_order_and_one_without_a_file_is_told() {
    let scene = Scene::new()
        .file("taskscheduler-a.toml", "batch-size = 1\npoll-interval = 1\n")
        .file("taskscheduler-b.toml", "batch-size = 2\n")
        .variable("SPRING_PROFILES_ACTIVE", "a, missing,b");
    let loaded = scene.loaded();
    assert_eq!(loaded.config.node.batch_size, 2);
    assert_eq!(loaded.config.node.poll_interval, Duration::from_millis(1));
    assert_eq!(loaded.warnings, ["profile missing has no file taskscheduler-missing.toml"]);
    assert_eq!(scene.profile("b,a").loaded().config.node.batch_size, 1);
    assert!(Scene::new().profile("../etc/x").load().is_err());
}

#[test]
fn a_named_file_is_the_only_one_and_must_be_there() {
    let mut scene = Scene::new().file("taskscheduler.toml", "batch-size = 1\n");
    scene.asked.config = Some(scene.directory.path().join("other.toml"));
    assert!(scene.wrong().starts_with("flag --config: there is no file other.toml"));
    let scene = scene.file("other.toml", "batch-size = 7\n");
    assert_eq!(scene.loaded().config.node.batch_size, 7);
    assert_eq!(scene.loaded().files.len(), 1);
}

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_the_nearest_key() {
    let text = "batchsize = 1\n[api]\nlisen = '127.0.0.1:1'\npayload-bytes-max = '2MiB'\n\
        max-connections = [1]\n[databse]\n[retention]\nmigrate = 'check'\n";
    let scene = Scene::new()
        .file("taskscheduler.toml", text)
        .variable("TASK_SCHEDULER_ENGINE_CORE", "2")
        .variable("TASK_SCHEDULER_LOG_LEVEL", "loud");
    let wrong = scene.wrong();
    let expected = [
        "taskscheduler.toml:1: unknown key batchsize; did you mean batch-size?",
        "taskscheduler.toml:3: unknown key api.lisen; did you mean api.listen?",
        "taskscheduler.toml:4: api.payload-bytes-max must be a size",
        "taskscheduler.toml:5: api.max-connections must be a whole number",
        "taskscheduler.toml:6: unknown section [databse]; did you mean [database]?",
        "taskscheduler.toml:8: unknown key retention.migrate; did you mean database.migrate?",
        "environment TASK_SCHEDULER_LOG_LEVEL: log.level must be error, warn, info, debug or trace",
        "environment TASK_SCHEDULER_ENGINE_CORE: is no setting; did you mean \
         TASK_SCHEDULER_ENGINE_CORES?",
    ];
    let lines: Vec<&str> = wrong.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{wrong}");
    for (line, start) in lines.iter().zip(expected) {
        assert!(line.starts_with(start), "{start}\nis not the start of\n{line}");
    }
}

#[test]
fn a_file_that_is_no_toml_is_refused_with_its_line() {
    let scene = Scene::new().file("taskscheduler.toml", "[api]\nlisten = canary\n");
    let wrong = scene.wrong();
    assert!(wrong.starts_with("taskscheduler.toml:2: "), "{wrong}");
    assert!(!wrong.contains("canary"), "{wrong}");
    let twice = Scene::new().file("taskscheduler.toml", "batch-size = 1\nbatch-size = 2\n");
    assert!(twice.load().is_err());
}

#[test]
fn values_that_contradict_each_other_are_refused() {
    for (text, rule) in [
        ("[database]\npool-max = 3\npool-min = 4", "pool-min must not exceed database.pool-max"),
        ("[thread-pool]\nmax-pool-size = 4", "core-pool-size must not exceed"),
        ("[task]\ntimeout-cap = '10s'", "task.default-timeout must not exceed task.timeout-cap"),
        ("[task]\nmax-retry-attempts = 11", "must not exceed task.retry-attempts-cap"),
        ("[workers]\ninitial-count = 4\nmax-count = 2", "must not exceed workers.max-count"),
    ] {
        let wrong = Scene::new().file("taskscheduler.toml", text).wrong();
        assert!(wrong.contains(rule), "{wrong}");
    }
}

#[test]
fn the_old_deployments_variables_keep_their_meaning() {
    let config = Scene::new()
        .variable("SERVER_PORT", "9090")
        .variable("SPRING_DATASOURCE_URL", "jdbc:postgresql://db:5432/tasks")
        .variable("SPRING_DATASOURCE_USERNAME", "scheduler")
        .variable("SPRING_DATASOURCE_PASSWORD", "p@ss/word")
        .variable("SPRING_DATASOURCE_HIKARI_MAXIMUM_POOL_SIZE", "50")
        .variable("SPRING_DATASOURCE_HIKARI_MINIMUM_IDLE", "10")
        .variable("SPRING_REDIS_HOST", "cache")
        .variable("SPRING_REDIS_PORT", "6380")
        .variable("SPRING_REDIS_PASSWORD", "secret")
        .variable("DATABASE_URL", "")
        .loaded()
        .config;
    assert_eq!(config.api.listen.to_string(), "127.0.0.1:9090");
    assert_eq!((config.database.pool_max, config.database.pool_min), (50, 10));
    let DatabaseUrl::Postgres(url) = &config.database.url else { panic!("{:?}", config.database) };
    assert_eq!((url.user.as_str(), url.password.reveal()), ("scheduler", "p@ss/word"));
    assert_eq!((url.hosts.as_str(), url.path.as_str()), ("db:5432", "tasks"));
    assert_eq!(config.redis.url.write(), "redis://:********@cache:6380");
}

/// Spring reads a key's name without its dashes, and its third generation renamed Redis's keys;
/// both were ignored with a warning, so that a deployment lost its Redis.
#[test]
fn springs_own_spellings_mean_the_same() {
    for (name, value, key) in [
        ("SPRING_DATASOURCE_HIKARI_MAXIMUMPOOLSIZE", "50", "database.pool-max"),
        ("SPRING_DATASOURCE_HIKARI_MINIMUMIDLE", "9", "database.pool-min"),
        ("SPRING_DATA_REDIS_HOST", "cache", "redis.host"),
        ("SPRING_DATA_REDIS_PORT", "6380", "redis.port"),
        ("SPRING_DATA_REDIS_USERNAME", "me", "redis.username"),
        ("SPRING_REDIS_USERNAME", "me", "redis.username"),
        ("SPRING_DATA_REDIS_URL", "redis://cache:1", "redis.url"),
        ("SPRING_REDIS_URL", "redis://cache:1", "redis.url"),
    ] {
        let scene = Scene::new().variable(name, value);
        assert_eq!(shown(&scene, key), (value.into(), format!("environment {name}")));
        assert!(scene.loaded().warnings.is_empty());
    }
    let secret = Scene::new().variable("SPRING_DATA_REDIS_PASSWORD", "canary");
    assert_eq!(secret.loaded().config.redis.password.reveal(), "canary");
}

#[test]
fn our_own_variables_win_over_the_old_ones() {
    let scene = Scene::new()
        .file("taskscheduler.toml", "[api]\nlisten = '[::1]:1'\n")
        .variable("SERVER_PORT", "2");
    assert_eq!(shown(&scene, "api.listen"), ("[::1]:2".into(), "environment SERVER_PORT".into()));
    let scene = scene.variable("TASK_SCHEDULER_API_LISTEN", "127.0.0.1:3");
    assert_eq!(shown(&scene, "api.listen").0, "127.0.0.1:3");
    let scene = scene.variable("SERVER_PORT", "http");
    assert!(scene.wrong().contains("environment SERVER_PORT: must be a port number"));
}

#[test]
fn old_keys_without_a_meaning_warn_and_are_no_errors() {
    let text = "[thread-pool]\nscaling-factor = 2\nrejection-policy = 'CALLER_RUNS'\n";
    let scene = Scene::new()
        .file("taskscheduler.toml", text)
        .variable("JAVA_OPTS", "-Xmx4g")
        .variable("SERVER_ADDRESS", "0.0.0.0")
        .variable("LOGGING_LEVEL_ROOT", "DEBUG")
        .variable("SPRING_JPA_HIBERNATE_DDL_AUTO", "update")
        .variable("TASK_SCHEDULER_WORKERS_SCALING_THRESHOLD", "0.8");
    let warnings = scene.loaded().warnings.join("\n");
    let names =
        ["scaling-factor", "rejection-policy", "JAVA_OPTS", "SPRING_JPA", "WORKERS_SCALING"];
    for name in names.iter().chain(&["SERVER_ADDRESS", "LOGGING_LEVEL_ROOT"]) {
        assert_eq!(warnings.matches(name).count(), 1, "{name} in\n{warnings}");
    }
}

/// A cluster that calls its service `task-scheduler` puts these into every container; a server that
/// took them for mistyped settings did not start.
#[test]
fn what_a_cluster_says_about_its_services_is_not_meant_for_us() {
    let scene = Scene::new()
        .variable("TASK_SCHEDULER_SERVICE_HOST", "10.0.0.1")
        .variable("TASK_SCHEDULER_SERVICE_PORT_HTTP", "8080")
        .variable("TASK_SCHEDULER_PORT", "tcp://10.0.0.1:8080")
        .variable("TASK_SCHEDULER_PORT_8080_TCP_ADDR", "10.0.0.1")
        .variable("TASK_SCHEDULER_REDIS_PORT", "tcp://10.0.0.2:6379");
    assert_eq!(scene.loaded().config.redis.port, 6379);
    let typed = Scene::new().variable("TASK_SCHEDULER_API_PORT", "9090");
    assert!(typed.load().is_err());
}

#[test]
fn no_output_shows_a_secret() {
    let canary = "canary-7f3a";
    let url = format!("postgres://u:{canary}@db/tasks?sslpassword={canary}");
    let scene = Scene::new()
        .file("taskscheduler.toml", &format!("[redis]\nurl = 'redis://:{canary}@r'\n"))
        .variable("DATABASE_URL", &url)
        .variable("TASK_SCHEDULER_DATABASE_PASSWORD", canary)
        .variable("SPRING_REDIS_PASSWORD", canary);
    let loaded = scene.loaded();
    let outputs = [
        as_toml(&loaded, Origins::Shown),
        as_json(&loaded).to_string(),
        format!("{:?}", loaded.config),
        loaded.config.refusals().join("\n"),
        loaded.warnings.join("\n"),
    ];
    for output in outputs {
        assert!(!output.contains(canary), "{output}");
    }
    assert!(as_toml(&loaded, Origins::Hidden).contains("postgres://u:********@db/tasks?********"));
    for bad in ["mysql://u:CANARY@h/d", "postgres://u:CANARY@h:x", "CANARY", "jdbc:x:CANARY"] {
        let bad = bad.replace("CANARY", canary);
        let wrong = Scene::new().variable("DATABASE_URL", &bad).wrong();
        assert!(wrong.contains("environment DATABASE_URL"), "{wrong}");
        assert!(!wrong.contains(canary), "{wrong}");
    }
}

#[test]
fn serve_refuses_what_this_version_cannot_keep_safe() {
    let refused = |scene: Scene| scene.loaded().config.refusals().join("\n");
    assert_eq!(refused(Scene::new()), "");
    let open = || Scene::new().flag("api.listen", "--listen", "0.0.0.0:8080");
    assert!(refused(open()).contains("--insecure-no-auth"));
    assert_eq!(refused(open().flag("api.insecure-no-auth", "--insecure-no-auth", "true")), "");
    assert_eq!(refused(Scene::new().flag("api.listen", "--listen", "unix:/run/t.sock")), "");
    assert_eq!(refused(Scene::new().variable("DATABASE_URL", "postgres://h/d")), "");
    assert!(refused(Scene::new().variable("REDIS_URL", "redis://h")).contains("Redis"));
    let off = Scene::new().variable("REDIS_URL", "none").loaded().config;
    assert_eq!(off.redis.url, RedisUrl::None);
}

#[test]
fn the_printed_defaults_and_the_printed_settings_read_back_as_the_same() {
    let plain = Scene::new().loaded();
    let uncommented: Vec<String> = defaults()
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(rest) if !rest.starts_with(' ') => rest.to_owned(),
            _ => line.to_owned(),
        })
        .collect();
    let from_defaults = Scene::new().file("taskscheduler.toml", &uncommented.join("\n"));
    assert_eq!(from_defaults.loaded().config, plain.config);
    let lines = uncommented.iter().filter(|line| !line.starts_with('#') && line.contains(" = "));
    assert_eq!(lines.count(), KEYS.len());

    let changed = Scene::new()
        .variable("TASK_SCHEDULER_API_CORS_ORIGINS", "http://a,http://b")
        .variable("TASK_SCHEDULER_ENGINE_CORES", "0-2")
        .variable("TASK_SCHEDULER_RETENTION_FAILED", "3")
        .variable("TASK_SCHEDULER_DATA", "/a \"quoted\" path")
        .loaded();
    let text = as_toml(&changed, Origins::Shown);
    let read_back = Scene::new().file("taskscheduler.toml", &text).loaded();
    assert_eq!(read_back.config, changed.config);
    assert_eq!(read_back.config.node.data, PathBuf::from("/a \"quoted\" path"));
}

#[test]
fn the_old_count_of_workers_counts_where_nobody_chose_cores() {
    let workers = || Scene::new().variable("TASK_SCHEDULER_WORKERS_INITIAL_COUNT", "3");
    assert_eq!(workers().loaded().config.cores(), Cores::Count(3));
    let both = workers().flag("engine.cores", "--cores", "0-1");
    assert_eq!(both.loaded().config.cores(), Cores::These(vec![0, 1]));
}

#[test]
fn limits_of_submissions_follow_the_settings() {
    let text = "[api]\npayload-bytes-max = '1KiB'\n[task]\ndefault-timeout = 60\n\
        retry-delay = 250\nretry-attempts-cap = 5\n";
    let limits = Scene::new().file("taskscheduler.toml", text).loaded().config.limits();
    assert_eq!((limits.payload_bytes_max, limits.timeout_s_default), (1024, 60));
    assert_eq!((limits.retry_default.delay_ms, limits.retries_max), (250, 5));
    let defaults = Scene::new().loaded().config.limits();
    assert_eq!(defaults, taskscheduler::domain::Limits::default());
}

#[test]
fn a_value_can_come_from_a_file_that_a_variable_names() {
    let scene = Scene::new().file("secret", "canary with spaces \n");
    let path = scene.directory.path().join("secret").display().to_string();
    let scene = scene.variable("TASK_SCHEDULER_REDIS_PASSWORD_FILE", &path);
    assert_eq!(scene.loaded().config.redis.password.reveal(), "canary with spaces ");
    let (value, origin) = shown(&scene, "redis.password");
    assert_eq!(value, "********");
    assert_eq!(origin, "environment TASK_SCHEDULER_REDIS_PASSWORD_FILE");

    let both = scene.variable("TASK_SCHEDULER_REDIS_PASSWORD", "x");
    assert!(both.wrong().contains("is set beside TASK_SCHEDULER_REDIS_PASSWORD"));
    let missing = Scene::new().variable("TASK_SCHEDULER_REDIS_PASSWORD_FILE", "/nowhere/at/all");
    assert!(missing.wrong().contains("names /nowhere/at/all, which cannot be read"));
    let wrong = Scene::new().file("n", "many");
    let path = wrong.directory.path().join("n").display().to_string();
    let wrong = wrong.variable("TASK_SCHEDULER_ENGINE_STEAL_BATCH_FILE", &path).wrong();
    assert!(
        wrong.contains("TASK_SCHEDULER_ENGINE_STEAL_BATCH_FILE: engine.steal-batch"),
        "{wrong}"
    );
    let unknown = Scene::new().variable("TASK_SCHEDULER_ENGINE_NOTHING_FILE", "/x").wrong();
    assert!(unknown.contains("is no setting"), "{unknown}");
}

const TYPES: &str = r#"
[types.COUNT]
executor = "process"
command = ["wc", "-w"]
environment = { TOKEN = "canary" }
max-concurrency = 3
rate-per-second = 2.5
burst = 4

[types."send mail"]
executor = "http"
url = "https://mail.example/send"
secret-env = "MAIL_KEY"
headers = { Authorization = "Bearer canary" }
circuit-breaker = false

[types.SLEEP]
executor = "builtin"
max-concurrency = 7
"#;

#[test]
fn a_task_type_is_configured_by_a_section_of_its_own_name() {
    let scene = Scene::new()
        .file("taskscheduler.toml", TYPES)
        .file("taskscheduler-prod.toml", "[types.COUNT]\nmax-concurrency = 9\n")
        .profile("prod")
        .variable("MAIL_KEY", "canary");
    let loaded = scene.loaded();
    let names: Vec<_> = loaded.types.iter().map(|setting| setting.name.as_str()).collect();
    assert_eq!(names, ["COUNT", "SLEEP", "send mail"]);
    assert_eq!(loaded.types[0].max_concurrency, Some(9));
    let guards = |place: usize| loaded.types[place].blocking(&loaded.config.circuit_breaker).guards;
    assert_eq!((guards(0).len(), guards(2).len()), (1, 0));
    let shown = as_toml(&loaded, Origins::Shown);
    assert!(shown.contains("[types.\"send mail\"]") && shown.contains("taskscheduler-prod.toml:2"));
    let all = format!("{shown}{:?}{}", loaded.types, as_json(&loaded));
    let hidden = "environment holds it for the command alone";
    assert!(
        !shown.contains("canary") && !as_json(&loaded).to_string().contains("canary"),
        "{hidden}"
    );
    assert!(!all.is_empty());
}

#[test]
fn what_is_wrong_with_a_task_type_is_told_with_its_line() {
    let wrong = |text: &str| Scene::new().file("taskscheduler.toml", text).wrong();
    let process = "[types.A]\nexecutor = \"process\"\n";
    for (text, says) in [
        ("[types.A]\ncommand = [\"wc\"]\n", "types.A needs executor"),
        ("[types.A]\nexecutor = \"shell\"\n", "types.A.executor must be builtin, process or http"),
        (process, "types.A needs command"),
        (&format!("{process}command = [\"no-such-program\"]\n"), ":3: types.A.command names"),
        (&format!("{process}command = \"wc -w\"\n"), "types.A.command must be a list"),
        (&format!("{process}command = [\"wc\"]\nurl = \"x\"\n"), ":4: types.A.url is no key"),
        (&format!("{process}comand = [\"wc\"]\n"), "did you mean command?"),
        (&format!("{process}command = [\"wc\"]\nstop-grace = \"9s\"\n"), "from 0ms to 4s"),
        (&format!("{process}command = [\"wc\"]\nburst = 2\n"), "without rate-per-second"),
        ("[types.A]\nexecutor = \"http\"\nurl = \"ftp://a\"\n", "begin with http:// or https://"),
        (
            "[types.A]\nexecutor = \"http\"\nurl = \"http://a/\"\nsecret-env = \"NO_SUCH\"\n",
            "types.A.secret-env names NO_SUCH, and no such variable is set",
        ),
        ("[types]\nA = 1\n", "types.A must be a section"),
    ] {
        let said = wrong(text);
        assert!(said.contains(says), "{text}: {said}");
    }
}
