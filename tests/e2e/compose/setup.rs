//! compose/setup.sh, run for real: in a folder, and on the PostgreSQL of the tests that have no system.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use sqlx::{Connection as _, PgConnection};
use tests::stack::root;

use super::files::{File, MAIN};
use super::topology;

#[tokio::test]
async fn databases_are_their_services_alone_and_what_was_made_once_stays() {
    let Ok(psql) = launcher::postgres::client("psql") else {
        eprintln!(
            "compose/setup.sh was not run, for there is no psql: apt-get install postgresql-client"
        );
        return;
    };
    let setup = Setup::new(psql);
    setup.run(&[]);
    let made = setup.files();
    let names: BTreeSet<String> = made.keys().cloned().collect();
    assert_eq!(names, named());
    for (path, value) in made.iter().filter(|(path, _)| path.ends_with("-key")) {
        assert_eq!(value.len(), 44, "{path} is 32 bytes in base64");
    }

    for (service, database) in topology().databases() {
        let own = setup.reachable(&made[&format!("{service}/database-url")]);
        let name = &database.name;
        assert_eq!(
            who(&own).await.expect("it opens"),
            format!("{name}, {name}")
        );
        for other in ["postgres", "auth", "user", "events"] {
            let (server, _) = own.rsplit_once('/').expect("a name");
            let opened = who(&format!("{server}/{other}")).await;
            assert_eq!(opened.is_ok(), other == name, "{name} and {other}");
        }
    }

    setup.run(&[]);
    assert_eq!(setup.files(), made);

    // What .env gives goes before, and stays when it gives it no longer.
    let mut expected = made;
    let given = [
        ("GRIMOIRE_MAIL_TOKEN_KEY", "auth/mail-token-key", "a key"),
        (
            "USER_DATABASE_URL",
            "user/database-url",
            "postgres://elsewhere/user",
        ),
    ];
    for (_, path, value) in given {
        expected.insert(path.to_owned(), value.to_owned());
    }
    setup.run(&given.map(|(variable, _, value)| (variable, value)));
    assert_eq!(setup.files(), expected);
    fs::remove_dir_all(&setup.folder).expect("the folder is ours");
}

/// The files that variables of docker-compose.yml name, by service and name.
fn named() -> BTreeSet<String> {
    let file = File::read(MAIN);
    let mut named = BTreeSet::new();
    for (name, _) in topology().services() {
        let written = file.service(name).written().into_iter();
        for (_, path) in written.filter(|(variable, _)| variable.ends_with("_FILE")) {
            let path = path.strip_prefix("/secrets/").expect("a secret");
            named.insert(format!("{name}/{path}"));
        }
    }
    named
}

/// What the container has.
struct Setup {
    folder: PathBuf,
    psql: PathBuf,
    /// User, password, host and port of PostgreSQL's superuser.
    server: [String; 4],
}

impl Setup {
    fn new(psql: PathBuf) -> Self {
        let folder = root()
            .join(".dev/test")
            .join(format!("setup-{}", std::process::id()));
        fs::create_dir_all(folder.join("mail")).expect("a folder");
        for (service, _) in topology().databases() {
            fs::create_dir_all(folder.join("secrets").join(service)).expect("a folder");
        }
        let url = std::env::var("TEST_POSTGRES_URL").expect("run these tests by ./dev test");
        let parts: Vec<&str> = url
            .split(['/', ':', '@'])
            .filter(|part| !part.is_empty())
            .collect();
        let [_, user, password, host, port, ..] = parts[..] else {
            panic!("TEST_POSTGRES_URL has no user, password, host and port")
        };
        Self {
            folder,
            psql,
            server: [user, password, host, port].map(str::to_owned),
        }
    }

    fn run(&self, environment: &[(&str, &str)]) {
        let [user, password, host, port] = &self.server;
        let mut path = std::env::var("PATH").expect("a PATH");
        if let Some(folder) = self.psql.parent() {
            path = format!("{}:{path}", folder.display());
        }
        let output = Command::new("sh")
            .arg(root().join("compose/setup.sh"))
            .env_clear()
            .env("PATH", path)
            .env("SECRETS", self.folder.join("secrets"))
            .env("MAIL", self.folder.join("mail"))
            .envs([("PGUSER", user), ("PGPASSWORD", password)])
            .envs([("PGHOST", host), ("PGPORT", port)])
            .envs(environment.iter().copied())
            .output()
            .expect("a shell");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }

    /// Every file by service and name. Each is for its owner alone.
    fn files(&self) -> BTreeMap<String, String> {
        let secrets = self.folder.join("secrets");
        let mut files = BTreeMap::new();
        for service in entries(&secrets) {
            for file in entries(&secrets.join(&service)) {
                let path = secrets.join(&service).join(&file);
                let mode = fs::metadata(&path).expect("a file").permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "{}", path.display());
                let value = fs::read_to_string(&path).expect("text");
                files.insert(format!("{service}/{file}"), value);
            }
        }
        files
    }

    /// The address of a database, which has the server's name among containers, as it is reached here.
    fn reachable(&self, url: &str) -> String {
        let [_, _, host, port] = &self.server;
        url.replace("@postgres:5432/", &format!("@{host}:{port}/"))
    }
}

fn entries(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name())
        .map(|name| name.into_string().expect("a name"))
        .collect()
}

/// Role and database behind an address.
async fn who(url: &str) -> sqlx::Result<String> {
    let mut connection = PgConnection::connect(url).await?;
    sqlx::query_scalar("select current_user || ', ' || current_database()")
        .fetch_one(&mut connection)
        .await
}
