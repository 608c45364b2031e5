//! Follows the folder of contracts. It is read again each second and compared by content: that sees a file that is written anew, one that is
//! renamed into place, and the link that Kubernetes moves for a ConfigMap, on any file system, where notices of the kernel differ. A change
//! counts when two looks in a row find the same, so that a half of one is not taken for a whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::contracts::{ContractsError, Folder, Mark};
use crate::metrics::{self, Reload};
use crate::serving::{Current, Maker, ServingError};

const LOOK: Duration = Duration::from_secs(1);

/// A folder as it was read last.
pub(crate) struct Followed {
    pub(crate) path: PathBuf,
    pub(crate) mark: Mark,
}

/// Why what a folder has is not served.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error(transparent)]
    Contracts(#[from] ContractsError),
    #[error(transparent)]
    Serving(#[from] ServingError),
    #[error("it cannot be taken: {0}")]
    Failed(#[from] tokio::task::JoinError),
}

/// Serves what the folder has, whenever that changes, until `stop`. What cannot be served is told, and what was served before stays.
pub(crate) async fn follow(
    folder: Followed,
    maker: Arc<Maker>,
    current: Arc<Current>,
    stop: CancellationToken,
) {
    let path = folder.path;
    let mut taken = folder.mark;
    let mut before = folder.mark;
    let mut ticks = tokio::time::interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        let found = read(&path).await;
        let mark = match &found {
            Ok(folder) => folder.mark,
            Err(ReloadError::Contracts(error)) => Mark::of_failure(error),
            Err(_) => continue,
        };
        let settled = std::mem::replace(&mut before, mark) == mark;
        if !settled || mark == taken {
            continue;
        }
        taken = mark;
        let served = match found {
            Ok(folder) => serve(folder, &maker, &current).await,
            Err(error) => Err(error),
        };
        let hash = current.load().plan.hash.clone();
        match served {
            Ok(()) => {
                metrics::reloaded(Reload::Applied);
                tracing::info!(folder = %path.display(), hash, "the plan was replaced");
            }
            Err(error) => {
                metrics::reloaded(Reload::Refused);
                tracing::error!(folder = %path.display(), hash, %error, "the folder of contracts is refused; the plan before it stays");
            }
        }
        metrics::forget_but(&current.load());
    }
}

async fn read(path: &Path) -> Result<Folder, ReloadError> {
    let path = path.to_owned();
    Ok(tokio::task::spawn_blocking(move || Folder::read(&path)).await??)
}

async fn serve(folder: Folder, maker: &Arc<Maker>, current: &Current) -> Result<(), ReloadError> {
    let (maker, before) = (maker.clone(), current.load_full());
    // It takes a while, and would hold up requests.
    let made = tokio::task::spawn_blocking(move || maker.make(Some(&folder), &before.targets));
    let next = made.await??;
    next.targets.look_up_new().await;
    current.replace(next);
    Ok(())
}
