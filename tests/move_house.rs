//! The example `move_house`: what one store holds is in the other one afterwards, and what is not is told.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use acs_identity::redis::RedisOptions;
use acs_identity::sql::SqliteOptions;
use acs_identity::{AcsId, CustomerId, MappingStore, MappingStoreExt, Namespace};
use acs_identity_servers::{Kind, cluster_urls, database, url};
use acs_identity_tests::{Folder, Run, command, run};
use serde_json::{Value, json};

const EVENT: &str = r#"[{"eventType":"X","data":{"senderId":"8:acs:a_1","recipientId":"8:acs:a_2"}}]"#;

/// Puts mappings into an SQLite store, and says how the store is named.
fn store_with(folder: &Folder, name: &str, rows: &str) -> OsString {
    let mappings = folder.file(&format!("{name}.csv"), format!("acs_id,customer_id\n{rows}"));
    let event = folder.file("event.json", EVENT);
    let store = folder.sqlite(name);
    let args = ["--events".as_ref(), event.as_os_str(), "--mappings".as_ref(), mappings.as_os_str()];
    let run = run("quickstart", &[&args[..], &["--store".as_ref(), &store]].concat());
    assert_eq!(run.code, Some(0), "{run:?}");
    store
}

/// The customers of `8:acs:a_1` and `8:acs:a_2` in a store that has mappings.
fn customers(folder: &Folder, store: &OsStr) -> [Value; 2] {
    let event = folder.file("event.json", EVENT);
    let args = ["--json".as_ref(), "--events".as_ref(), event.as_os_str(), "--store".as_ref(), store];
    let line = run("quickstart", &args).json_lines().remove(0);
    [1, 0].map(|place: usize| line["participants"][place]["customerId"].clone())
}

fn move_house(args: &[&OsStr]) -> Run {
    run("move_house", args)
}

/// The output without the first line, which names the stores.
fn told(run: &Run) -> Vec<&str> {
    run.stdout.lines().skip(1).collect()
}

#[test]
fn without_arguments_it_moves_made_up_mappings_and_leaves_nothing_behind() {
    let folder = Folder::new();
    let temporary = folder.file("tmp/.keep", "").parent().expect("a folder").to_owned();
    let output = command("move_house", &[] as &[&str]).env("TMPDIR", &temporary).env("TMP", &temporary).output();
    let run = Run::from(output.expect("the example runs"));
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(run.stdout.starts_with("moving from memory: to sqlite:"), "{}", run.stdout);
    let told = told(&run);
    for line in
        ["copied: written 2500", "verified: same 2500", "verified in reverse: at the source 2500", "nothing differs"]
    {
        assert!(told.contains(&line), "{line} is not in {told:?}");
    }
    assert_eq!(fs::read_dir(&temporary).expect("the folder").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn mappings_go_through_all_databases_and_no_password_is_shown() {
    let folder = Folder::new();
    let first = store_with(&folder, "first.db", "8:acs:a_1,ann\n8:acs:a_2,bób \"x\"\n8:acs:a_3,joe\n");
    let last = folder.sqlite("last.db");
    let (postgres, mysql) = (database(Kind::Postgres).await, database(Kind::MariaDb).await);
    let journey: [&OsStr; 4] = [&first, postgres.url().as_ref(), mysql.url().as_ref(), &last];
    for leg in journey.windows(2) {
        let run = move_house(leg);
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        let lines =
            ["copied: written 3", "verified: same 3", "verified in reverse: at the source 3", "nothing differs"];
        assert_eq!(told(&run), lines);
        for url in [postgres.url(), mysql.url()] {
            let (user, _) = url.split_once("://").and_then(|(_, rest)| rest.split_once('@')).expect("a user");
            assert!(!run.stdout.contains(user), "{}", run.stdout);
        }
    }
    assert_eq!(customers(&folder, &last), customers(&folder, &first));
    // Once more, over what is there.
    let run = move_house(&[&first, postgres.url().as_ref()]);
    assert_eq!((run.code, told(&run)[0]), (Some(0), "copied: written 0, there already 3"));
}

#[tokio::test(flavor = "multi_thread")]
async fn mappings_go_through_redis_and_a_cluster_of_it() {
    let folder = Folder::new();
    let last = folder.sqlite("last.db");
    let (redis, nodes) = (url(Kind::Redis), cluster_urls());
    // The first with all that stands before its address, of the others the address alone.
    let addresses = nodes.iter().skip(1).map(|node| node.rsplit(['@', '/']).next().expect("an address"));
    let first = nodes[0].replacen("://", "-cluster://", 1);
    let cluster = [first.as_str()].into_iter().chain(addresses).collect::<Vec<_>>().join(",");
    // Others may use the same servers.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970").as_nanos();
    let namespace = Namespace::new(&format!("move-{}-{now}", std::process::id())).expect("a namespace");
    let journey: [&OsStr; 4] = ["memory:".as_ref(), redis.as_ref(), cluster.as_ref(), &last];
    for leg in journey.windows(2) {
        let run = move_house(&[&["--namespace".as_ref(), namespace.as_str().as_ref()], leg].concat());
        assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""), "{run:?}");
        let told = told(&run);
        assert!(told.iter().any(|line| line.starts_with("copied: written 2500")), "{told:?}");
        assert_eq!(told.last(), Some(&"nothing differs"));
    }

    // Customers and properties are the made-up ones, in both directions.
    let (id, customer) = ("8:acs:example_00000006".parse::<AcsId>().expect("an ID"), CustomerId::from(3_u64));
    let from = RedisOptions::cluster(nodes).namespace(namespace.clone()).open().await.expect("the cluster");
    let path = last.to_str().and_then(|store| store.strip_prefix("sqlite:")).expect("UTF-8");
    let to = SqliteOptions::file(path).namespace(namespace).open().await.expect("the file");
    for store in [&from as &dyn MappingStore, &to] {
        let mappings = store.all_mappings_of(&customer).await.expect("the mappings");
        let ids: Vec<_> = mappings.iter().map(|mapping| mapping.acs_id.as_str()).collect();
        assert_eq!(ids, ["8:acs:example_00000006", "8:acs:example_00000007"]);
        let mapping = store.resolve(&id).await.expect("an answer").expect("a mapping");
        assert_eq!(mapping.customer_id(), &customer);
        assert_eq!(mapping.properties().get("device"), Some("phone"));
    }
}

#[test]
fn what_differs_is_counted_and_with_list_named_and_fails_the_run() {
    let folder = Folder::new();
    let from = store_with(&folder, "from.db", "8:acs:a_1,ann\n8:acs:a_2,bob\n");
    // Written later, so it is newer.
    let to = store_with(&folder, "to.db", "8:acs:a_2,eve\n8:acs:a_9,joe\n");
    let run = move_house(&[&from, &to]);
    assert_eq!(run.code, Some(1));
    assert_eq!(
        told(&run),
        [
            "copied: written 1, there already 1",
            "verified: same 1, newer at the target 1",
            "verified in reverse: at the source 2, not at the source 1",
        ]
    );
    assert!(run.stderr.starts_with("error: mappings that differ: 1; "), "{}", run.stderr);
    assert!(!run.stdout.contains("8:acs:"));
    assert_eq!(customers(&folder, &to), [json!("ann"), json!("eve")]);

    let run = move_house(&["--list".as_ref(), &from, &to]);
    let listed: Vec<_> = told(&run).into_iter().filter(|line| line.starts_with("  ")).collect();
    assert_eq!(listed, ["  8:acs:a_2: newer at the target, and kept", "  8:acs:a_9: not at the source"]);
}

#[test]
fn a_checkpoint_is_gone_on_with_and_removed_at_the_end() {
    let folder = Folder::new();
    let from = store_with(&folder, "from.db", "8:acs:a_1,ann\n8:acs:a_2,bob\n8:acs:a_3,joe\n");
    let to = folder.sqlite("to.db");
    let file = folder.path("checkpoint");
    let moved =
        || move_house(&["--checkpoint".as_ref(), file.as_os_str(), "--page-size".as_ref(), "1".as_ref(), &from, &to]);
    // As it is after the first of the pages, by a run that could not write it.
    let text = |next: &str| {
        let checkpoint = json!({ "stage": "copy", "next": next, "counts": { "copy": { "written": 1 } } });
        let (from, to) = (from.to_str().expect("UTF-8"), to.to_str().expect("UTF-8"));
        json!({ "from": from, "to": to, "namespace": "default", "checkpoint": checkpoint }).to_string()
    };
    folder.file("checkpoint", text("s:8:acs:a_1"));
    let run = moved();
    assert!(run.stdout.starts_with("going on to move from sqlite:"), "{}", run.stdout);
    let copied = told(&run).into_iter().rfind(|line| line.starts_with("copied: ")).map(str::to_owned);
    assert_eq!(copied.as_deref(), Some("copied: written 3"));
    // What it was told to have copied already is not there, and is found.
    assert!(run.code == Some(1) && run.stdout.contains("verified: same 2, missing 1"), "{run:?}");
    assert!(!file.exists());

    let run = moved();
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    assert!(run.stdout.contains("copied: written 1, there already 2\n"), "{}", run.stdout);
    assert!(!file.exists());

    // One that no store gave is refused, and stays.
    folder.file("checkpoint", text("c1:8:acs:a_1"));
    let run = moved();
    assert!(run.code == Some(1) && run.stderr.starts_with("error: invalid input: the cursor is not one of this"));
    assert!(file.exists());
}

#[test]
fn a_checkpoint_that_is_none_or_of_another_move_is_refused_and_left_as_it_is() {
    let folder = Folder::new();
    let from = store_with(&folder, "from.db", "8:acs:a_1,ann\n");
    let to = folder.sqlite("to.db");
    let other = json!({
        "from": "sqlite:other.db", "to": "sqlite:to.db", "namespace": "default",
        "checkpoint": { "stage": "copy", "next": "s:8:acs:secret", "counts": {} }
    });
    for (text, sentence) in [
        (other.to_string(), "this checkpoint is of another move"),
        ("nonsense".to_owned(), "this is no checkpoint"),
        (String::new(), "this is no checkpoint"),
    ] {
        let file = folder.file("checkpoint", &text);
        let run = move_house(&["--checkpoint".as_ref(), file.as_os_str(), &from, &to]);
        assert_eq!(run.refusal(), format!("error: {}: {sentence}", file.display()));
        assert_eq!(fs::read_to_string(&file).expect("the file"), text);
    }
    assert!(!folder.path("to.db").exists());
}

#[test]
fn a_checkpoint_of_files_of_the_same_name_in_another_folder_is_of_another_move() {
    let folders = [Folder::new(), Folder::new()];
    let file = folders[0].path("checkpoint");
    let moved = |folder: &Folder| {
        store_with(folder, "from.db", "");
        let place = folder.path("from.db").parent().expect("a folder").to_owned();
        let args = ["--checkpoint".as_ref(), file.as_os_str(), "sqlite:from.db".as_ref(), "sqlite:to.db".as_ref()];
        Run::from(command("move_house", &args).current_dir(place).output().expect("the example runs"))
    };
    let target = folders[0].path("from.db").with_file_name("to.db");
    let target = target.to_str().expect("UTF-8");
    let checkpoint = |from: &str| {
        json!({
            "from": from, "to": format!("sqlite:{target}"), "namespace": "default",
            "checkpoint": { "stage": "reverse", "next": null, "counts": {} }
        })
    };
    let source = format!("sqlite:{}", folders[0].path("from.db").display());
    for (folder, code) in [(&folders[1], Some(1)), (&folders[0], Some(0))] {
        folders[0].file("checkpoint", checkpoint(&source).to_string());
        let run = moved(folder);
        assert_eq!(run.code, code, "{run:?}");
        assert_eq!(run.stderr.contains("this checkpoint is of another move"), code == Some(1), "{run:?}");
    }
}

#[test]
fn a_source_that_is_not_there_is_refused_and_not_made() {
    let folder = Folder::new();
    let (from, to) = (folder.sqlite("from.db"), folder.sqlite("to.db"));
    let run = move_house(&[&from, &to]);
    assert_eq!(run.refusal(), format!("error: {}: there is no such file", from.to_str().expect("UTF-8")));
    assert!(!folder.path("from.db").exists() && !folder.path("to.db").exists());
}

#[test]
fn no_password_is_shown_whatever_is_wrong_with_a_url() {
    let folder = Folder::new();
    let to = folder.sqlite("to.db");
    let urls = [
        "postgres://app:secret@127.0.0.1:1/app",
        "postgres://app:a?secret@127.0.0.1:1/app",
        "postgres://app:a#secret@127.0.0.1:1/app",
        "postgres://app:a/secret@127.0.0.1:1/app",
        "postgres://127.0.0.1:1/app?user=app&password=secret",
        "postgres://127.0.0.1:1/app?user=app&password=a@secret",
        "postgres:app:secret@127.0.0.1",
        "mysql://app:secret@127.0.0.1:1/app",
        "mysql://app:secret@127.0.0.1:x/app",
        "redis://app:secret@127.0.0.1:1",
        "redis://:secret@127.0.0.1:x",
        "redis://app:a?secret@127.0.0.1:1",
        "redis://secret:@127.0.0.1:1",
        "rediss://app:secret@127.0.0.1:1/#insecure",
        "redis-cluster://app:secret@127.0.0.1:1,127.0.0.1:2",
        "redis-cluster://app:a#secret@127.0.0.1:1,127.0.0.1:2",
        "redis-cluster://app:secret@127.0.0.1:1,127.0.0.1:2/3",
        "redis-cluster:app:secret@127.0.0.1:1,",
        "mssql://app:secret@127.0.0.1/app",
        "--from=postgres://app:secret@127.0.0.1/app",
    ];
    // At once, since some are tried for seconds.
    thread::scope(|scope| {
        for url in urls {
            let to = &to;
            scope.spawn(move || {
                let run = move_house(&[url.as_ref(), to]);
                assert!(!run.refusal().contains("secret"), "{url}: {}", run.stderr);
            });
        }
    });
}

#[test]
fn a_wrong_command_line_is_told_in_one_sentence() {
    for (args, sentence) in [
        (&["--nonsense"] as &[&str], r#"there is no option "--nonsense"; see --help"#),
        (&["sqlite:a.db"], "FROM and TO are two stores, not 1; see --help"),
        (&["sqlite:a.db", "sqlite:b.db", "sqlite:c.db"], "FROM and TO are two stores, not 3; see --help"),
        (&["sqlite:a.db", "sqlite:a.db"], "FROM and TO are the same store"),
        (&["sqlite:a.db", "memory:"], "what is moved to memory: is gone at once; it can only be FROM"),
        (
            &["sqlite:", "sqlite:b.db"],
            "a store is sqlite:PATH, postgres://…, mysql://…, redis://…, redis-cluster://… or memory:; see --help",
        ),
        (
            &["redis-cluster://127.0.0.1:1,127.0.0.1:2/3", "sqlite:b.db"],
            "redis-cluster://127.0.0.1:1,127.0.0.1:2/3: \
             backend misconfigured: a cluster has no databases but the first (open, redis)",
        ),
        (&["--page-size", "1001"], r#"a page has 1 to 1000 mappings, not "1001""#),
        (&["--page-size", "0"], r#"a page has 1 to 1000 mappings, not "0""#),
        (&["--page-size"], "the number after --page-size is missing; see --help"),
        (&["--checkpoint"], "the file after --checkpoint is missing; see --help"),
        (&["--checkpoint", "a"], "the mappings of memory: are made up anew each time, so no checkpoint is of use"),
    ] {
        assert_eq!(run("move_house", args).refusal(), format!("error: {sentence}"));
    }
    assert!(run("move_house", &["--namespace", "a b"]).refusal().starts_with("error: "));
}

#[test]
fn help_names_every_option() {
    let run = run("move_house", &["--help"]);
    assert_eq!((run.code, run.stderr.as_str()), (Some(0), ""));
    let stores = ["sqlite:", "postgres://", "mysql://", "redis://", "rediss://", "redis-cluster://", "memory:"];
    for option in stores.into_iter().chain(["--checkpoint", "--namespace", "--page-size", "--list"]) {
        assert!(run.stdout.contains(option), "{option}");
    }
}
