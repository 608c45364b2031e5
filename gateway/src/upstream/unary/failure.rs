//! Why a connection takes no call, or ended.

use std::io;

use h2::Reason;
use tonic::Status;

use crate::upstream::broken::Broken;

#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the service did not answer in time")]
    Late,
    #[error("the service closed it")]
    Closed,
    #[error("the service has fallen silent")]
    Silent,
    #[error("the service ended it: {0}")]
    GoAway(Reason),
    #[error("it is about to end")]
    Closing,
    #[error("the service does not read what it is sent")]
    Full,
    #[error("too many calls wait for it")]
    Crowded,
    #[error("the service does not speak HTTP/2: {0}")]
    Protocol(&'static str),
    #[error("the service sends a frame of a wrong size")]
    FrameSize,
    #[error("the service makes a window too wide")]
    FlowControl,
    #[error("the service sends fields that cannot be read")]
    Compression,
    #[error("the service sends what must be answered, and reads no answers")]
    Flood,
}

impl Failure {
    /// What the peer is told as the last word.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Io(_)
            | Self::Late
            | Self::Closed
            | Self::Silent
            | Self::GoAway(_)
            | Self::Closing
            | Self::Full
            | Self::Crowded => Reason::NO_ERROR,
            Self::Protocol(_) => Reason::PROTOCOL_ERROR,
            Self::FrameSize => Reason::FRAME_SIZE_ERROR,
            Self::FlowControl => Reason::FLOW_CONTROL_ERROR,
            Self::Compression => Reason::COMPRESSION_ERROR,
            Self::Flood => Reason::ENHANCE_YOUR_CALM,
        }
    }

    /// What a call comes to.
    pub(super) fn status(&self, processed: bool) -> Status {
        // These say nothing of the address.
        let one_connection = matches!(
            self,
            Self::GoAway(_) | Self::Closing | Self::Full | Self::Crowded
        );
        let lost = !one_connection;
        Broken { processed, lost }.status(self)
    }
}
