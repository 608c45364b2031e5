//! A private Apache Kafka: one node from Maven Central's jars, on loopback.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::instance::{Instance, inherited};
use crate::keys;
use crate::postgres::on_path;
use crate::process::Program;

/// The broker on this instance's data, which are made when there are none. `say` is told what takes a while.
///
/// # Errors
/// When another broker runs on these data: a second one would ruin the first.
pub(crate) fn program(instance: &Instance, name: &str, say: &dyn Fn(&str)) -> Result<Program> {
    let layout = &instance.layout;
    let folder = layout.kafka();
    fs::create_dir_all(&folder)?;
    let path = folder.join("lock");
    let lock = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    lock.try_lock()
        .map_err(|_| anyhow!("another Kafka runs on {}: end that first", folder.display()))?;

    let java = java()?;
    let jars = jars(instance, say)?;
    ensure!(
        !jars.as_os_str().as_encoded_bytes().contains(&b':'),
        "Java cannot load Kafka's jars from {}: a class path has no way to write the colon",
        jars.display()
    );
    let properties = folder.join("server.properties");
    fs::write(&properties, settings(instance, name)?)?;
    if !folder.join("data/meta.properties").exists() {
        say("making Kafka's data folder");
        refuse_old_java(&java)?;
        let mut format = command(&java, &jars, "64m", "256m");
        format
            .args([
                "kafka.tools.StorageTool",
                "format",
                "-t",
                cluster_id()?.as_str(),
                "-c",
            ])
            .arg(&properties);
        Program::new(format)
            .run(&instance.helpers)
            .context("cannot make Kafka's data folder")?;
    }
    let mut broker = command(
        &java,
        &jars,
        "64m",
        if instance.durable { "512m" } else { "256m" },
    );
    broker.arg("kafka.Kafka").arg(&properties);
    // SIGKILL when the launcher dies: Kafka's data are made for it, and a broker that hangs would hold its lock.
    Ok(Program {
        keep: vec![lock],
        ..Program::new(broker)
    })
}

fn settings(instance: &Instance, name: &str) -> Result<String> {
    let template = instance.layout.root.join("tilt/kafka/server.properties");
    let template = fs::read_to_string(&template)
        .with_context(|| format!("cannot read {}", template.display()))?;
    let controller = instance
        .assigned(name)
        .controller_port
        .context("kafka has no controller_port")?;
    Ok(template
        .replace("{port}", &instance.address(name)?.port().to_string())
        .replace("{controller_port}", &controller.to_string())
        .replace("{data}", &property(&instance.layout.kafka().join("data"))?))
}

/// A path as a file of properties names it: Java reads that as Latin-1, where a backslash escapes. Kafka takes a comma for the end of
/// one path of several.
fn property(path: &Path) -> Result<String> {
    let text = path
        .to_str()
        .filter(|text| !text.contains(','))
        .with_context(|| {
            format!(
                "Kafka cannot keep its data in {}: a path must be UTF-8 and have no comma",
                path.display()
            )
        })?;
    let escaped = text.encode_utf16().map(|unit| match u8::try_from(unit) {
        Ok(b'\\') => r"\\".to_owned(),
        Ok(byte @ b' '..=b'~') => char::from(byte).to_string(),
        _ => format!(r"\u{unit:04x}"),
    });
    Ok(escaped.collect())
}

/// The folder of the jars, copied there by Maven when tilt/kafka/pom.xml asks for others than it has.
fn jars(instance: &Instance, say: &dyn Fn(&str)) -> Result<PathBuf> {
    let layout = &instance.layout;
    let jars = layout.kafka_jars();
    let pom = layout.root.join("tilt/kafka/pom.xml");
    let wanted = fs::read(&pom).with_context(|| format!("cannot read {}", pom.display()))?;
    let complete = || fs::read(jars.join("pom.xml")).is_ok_and(|had| had == wanted);
    if complete() {
        return Ok(jars);
    }
    let parent = jars.parent().context("the jars have no folder")?;
    fs::create_dir_all(parent)?;
    // Of several instances one gets them; the others wait here.
    let lock = File::create(parent.join("lib.lock"))?;
    while let Err(error) = lock.try_lock() {
        if let TryLockError::Error(error) = error {
            return Err(error.into());
        }
        instance.helpers.ensure_wanted()?;
        thread::sleep(Duration::from_millis(50));
    }
    if complete() {
        return Ok(jars);
    }
    say("getting Kafka's jars by Maven");
    let maven = on_path("mvn").context("there is no mvn, which gets Kafka's jars: install Maven (Debian: apt-get install maven; macOS: brew install maven)")?;
    let new = parent.join("lib.new");
    if new.exists() {
        fs::remove_dir_all(&new)?;
    }
    let mut copy = Command::new(maven);
    copy.args(["--batch-mode", "--quiet", "--file"])
        .arg(&pom)
        .args(["dependency:copy-dependencies", "-DincludeScope=runtime"]);
    let mut output = std::ffi::OsString::from("-DoutputDirectory=");
    output.push(&new);
    copy.arg(output);
    Program::new(copy)
        .run(&instance.helpers)
        .context("cannot get Kafka's jars")?;
    fs::write(new.join("pom.xml"), &wanted)?;
    if jars.exists() {
        fs::remove_dir_all(&jars)?;
    }
    fs::rename(&new, &jars)?;
    Ok(jars)
}

fn java() -> Result<PathBuf> {
    let home = std::env::var_os("JAVA_HOME").map(|home| PathBuf::from(home).join("bin/java"));
    let homebrew = [
        "/opt/homebrew/opt/openjdk/bin/java",
        "/opt/homebrew/opt/openjdk@17/bin/java",
        "/usr/local/opt/openjdk/bin/java",
    ];
    // macOS has a /usr/bin/java that only says that there is none.
    let path = on_path("java")
        .filter(|path| !(cfg!(target_os = "macos") && path == Path::new("/usr/bin/java")));
    home.into_iter().chain(path).chain(homebrew.map(PathBuf::from)).find(|path| path.is_file()).context(
        "there is no Java, which Kafka needs: install a runtime of version 17 or newer (Debian: apt-get install default-jre-headless; macOS: brew install openjdk)",
    )
}

fn refuse_old_java(java: &Path) -> Result<()> {
    let output = Command::new(java)
        .arg("-version")
        .output()
        .with_context(|| format!("cannot start {}", java.display()))?;
    // openjdk version "17.0.15" 2025-04-15
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let version = text.split('"').nth(1).unwrap_or_default();
    let major: u32 = version
        .split(['.', '-', '+'])
        .next()
        .and_then(|major| major.parse().ok())
        .unwrap_or_default();
    ensure!(
        major >= 17,
        "{} is Java {version}, and Kafka needs 17 or newer: install one and name it in JAVA_HOME",
        java.display()
    );
    Ok(())
}

fn command(java: &Path, jars: &Path, least: &str, most: &str) -> Command {
    let mut command = Command::new(java);
    command.env_clear().envs(inherited()).current_dir("/");
    // In the plain C locale Java cannot name a file whose path has other letters than English ones.
    command.env("LC_ALL", "C.UTF-8");
    command.args([&format!("-Xms{least}"), &format!("-Xmx{most}")]);
    command.args([
        "-XX:TieredStopAtLevel=1",
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        "-Djava.awt.headless=true",
    ]);
    command.args([
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
        "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    ]);
    command.arg("-cp").arg(jars.join("*"));
    command
}

/// 16 bytes in base64, as Kafka wants it; not with a hyphen first, which its command line would take for an option.
fn cluster_id() -> Result<String> {
    for _ in 0..100 {
        let id = URL_SAFE_NO_PAD.encode(keys::random::<16>()?);
        if !id.starts_with('-') {
            return Ok(id);
        }
    }
    bail!("the system's random bytes are not random")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_java_reads_it() {
        for (path, expected) in [
            ("/home/ada/a b", "/home/ada/a b"),
            ("/home/ü/漢/🦀", r"/home/\u00fc/\u6f22/\ud83e\udd80"),
            (r"/a\b", r"/a\\b"),
        ] {
            assert_eq!(property(Path::new(path)).unwrap(), expected);
        }
        let error = property(Path::new("/a,b")).unwrap_err().to_string();
        assert!(error.contains("/a,b"), "{error}");
    }
}
