//! Why a request has no reply.

/// Why a request has no reply.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum RequestError {
    /// Connection refused. The process is gone, so no earlier request can still be running either.
    #[error("nobody listens at {address}")]
    NotListening {
        /// Where.
        address: String,
    },
    /// The request could not be sent.
    #[error("cannot connect to {address}: {reason}")]
    Connect {
        /// To where.
        address: String,
        /// Why.
        reason: String,
    },
    /// The request was sent and its outcome is unknown.
    #[error("lost the answer of {address}: {reason}")]
    NoAnswer {
        /// Whose.
        address: String,
        /// Why.
        reason: String,
    },
    /// Kiwi answered with an error, which does not mean that nothing was done.
    #[error("{address} answered {request}: {error}")]
    Refused {
        /// Who.
        address: String,
        /// What was asked for.
        request: String,
        /// The error.
        error: String,
    },
}

impl RequestError {
    /// Whether the request may still take effect.
    pub(crate) const fn is_unsettled(&self) -> bool {
        matches!(self, Self::NoAnswer { .. } | Self::Refused { .. })
    }
}
