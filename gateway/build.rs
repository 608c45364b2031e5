//! Takes the files of Swagger UI that /docs needs out of the archive that a crate carries. They stay compressed: an entry of a zip
//! archive and a gzip file hold the same stream (RFC 1951), so only its head and its end are written anew.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use utoipa_swagger_ui_vendored::SWAGGER_UI_VENDORED;

const FILES: [&str; 2] = ["swagger-ui-bundle.js", "swagger-ui.css"];

/// Signatures of the records of a zip archive, and the sizes of their fixed parts.
const END: &[u8] = b"PK\x05\x06";
const ENTRY: &[u8] = b"PK\x01\x02";
const ENTRY_SIZE: usize = 46;
const LOCAL_SIZE: usize = 30;
/// The method that gzip knows.
const DEFLATE: u16 = 8;

/// Head of a gzip file without a name or a time (RFC 1952).
const GZIP: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    for name in FILES {
        let file = gzip(SWAGGER_UI_VENDORED, name)
            .ok_or_else(|| format!("the archive of Swagger UI has no dist/{name} to take"))?;
        fs::write(out.join(format!("{name}.gz")), file)?;
    }
    Ok(())
}

/// The file FOLDER/dist/`name` of an archive; none where it is not there or not deflated.
fn gzip(archive: &[u8], name: &str) -> Option<Vec<u8>> {
    let wanted = format!("/dist/{name}");
    let end = archive.windows(END.len()).rposition(|four| four == END)?;
    let mut at = number(archive, end + 16)?;
    while archive.get(at..)?.starts_with(ENTRY) {
        let name_length = usize::from(short(archive, at + 28)?);
        let path = archive.get(at + ENTRY_SIZE..at + ENTRY_SIZE + name_length)?;
        let path = std::str::from_utf8(path).ok()?;
        if path.ends_with(&wanted) && path.matches('/').count() == 2 {
            if short(archive, at + 10)? != DEFLATE {
                return None;
            }
            let local = number(archive, at + 42)?;
            let names = short(archive, local + 26)? as usize + short(archive, local + 28)? as usize;
            let begin = local + LOCAL_SIZE + names;
            let stream = archive.get(begin..begin + number(archive, at + 20)?)?;
            let (checksum, length) = (
                archive.get(at + 16..at + 20)?,
                archive.get(at + 24..at + 28)?,
            );
            return Some([&GZIP[..], stream, checksum, length].concat());
        }
        let extra = usize::from(short(archive, at + 30)?);
        let remark = usize::from(short(archive, at + 32)?);
        at += ENTRY_SIZE + name_length + extra + remark;
    }
    None
}

fn short(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at + 2)?;
    Some(u16::from_le_bytes(two.try_into().ok()?))
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at + 4)?;
    usize::try_from(u32::from_le_bytes(four.try_into().ok()?)).ok()
}
