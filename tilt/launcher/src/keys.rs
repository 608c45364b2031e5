//! Development secrets: made once, kept in `.dev/keys`.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::layout::{Layout, create_private, temporary, write_private};

/// The secret `name`: 32 random bytes in base64, made when it is missing.
pub(crate) fn secret(layout: &Layout, name: &str) -> Result<String> {
    obtain(&layout.keys().join(name), || {
        Ok(STANDARD.encode(random::<32>()?))
    })
}

/// The password of a database role, made when it is missing.
pub(crate) fn database_password(layout: &Layout, role: &str) -> Result<String> {
    obtain(&layout.keys().join(format!("postgres-{role}")), word)
}

/// Where the password of an account of `./dev user` is kept.
///
/// # Errors
/// Refuses an address that cannot name a file.
pub fn account_password(layout: &Layout, email: &str) -> Result<PathBuf> {
    if email.is_empty() || email.contains(['/', '\0']) || email.starts_with('.') {
        return Err(anyhow!("`{email}` is not an e-mail address"));
    }
    let folder = layout.keys().join("users");
    create_private(&folder)?;
    Ok(folder.join(email))
}

/// Keeps a secret in a file of its own.
pub fn keep(path: &Path, secret: &str) -> Result<()> {
    write_private(path, secret.as_bytes())
}

/// 24 random characters that may stand in a URL.
pub fn word() -> Result<String> {
    Ok(URL_SAFE_NO_PAD.encode(random::<18>()?))
}

pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| anyhow!("the system gave no random bytes"))?;
    Ok(bytes)
}

/// What the file holds; where there is none, what `make` gives. Of several that make it at the same time one wins.
fn obtain(path: &Path, make: impl FnOnce() -> Result<String>) -> Result<String> {
    match fs::read_to_string(path) {
        Ok(secret) => return Ok(secret.trim().to_owned()),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
    if let Some(folder) = path.parent() {
        create_private(folder)?;
    }
    let own = temporary(path);
    write_private(&own, make()?.as_bytes())?;
    let linked = fs::hard_link(&own, path);
    fs::remove_file(&own).with_context(|| format!("cannot remove {}", own.display()))?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot write {}", path.display()))
        }
        _ => Ok(fs::read_to_string(path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .trim()
            .to_owned()),
    }
}
