//! Why a transaction was refused, in geth's words: clients match on these texts.

use alloy::primitives::{B256, U256};

/// A refusal by the pool. Every text begins as geth's does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PoolError {
    /// The bytes are not a transaction.
    #[error("rlp: {0}")]
    Decode(String),
    /// An EIP-2718 type that does not exist.
    #[error("transaction type not supported")]
    TypeNotSupported,
    /// A legacy transaction without EIP-155.
    #[error("only replay-protected (EIP-155) transactions allowed over RPC")]
    Unprotected,
    /// Signed for another chain.
    #[error("invalid sender: invalid chain id for signer: have {have} want {want}")]
    WrongChain {
        /// Chain id in the transaction.
        have: u64,
        /// Chain id of this chain.
        want: u64,
    },
    /// The signature does not recover, or has a high s.
    #[error("invalid sender: invalid transaction v, r, s values")]
    InvalidSender,
    /// Too many bytes.
    #[error("oversized data: transaction size {size}, limit {limit}")]
    Oversized {
        /// Bytes without blobs.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// EIP-7825.
    #[error("transaction gas limit too high (cap: {cap}, tx: {gas})")]
    GasLimitTooHigh {
        /// Gas allowed.
        cap: u64,
        /// Gas asked for.
        gas: u64,
    },
    /// More gas than a block has.
    #[error("exceeds block gas limit")]
    BlockGasLimit,
    /// EIP-3860.
    #[error("max initcode size exceeded: code size {size}, limit {limit}")]
    InitCode {
        /// Bytes of init code.
        size: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Tip above the fee cap.
    #[error("max priority fee per gas higher than max fee per gas")]
    TipAboveFeeCap,
    /// A tip of zero.
    #[error("transaction gas price below minimum: gas tip cap {tip}, minimum needed {minimum}")]
    TipTooLow {
        /// Wei per gas.
        tip: u128,
        /// Wei per gas.
        minimum: u128,
    },
    /// A blob fee cap of zero.
    #[error("transaction gas price below minimum: blob fee cap {fee}, minimum needed {minimum}")]
    BlobFeeTooLow {
        /// Wei per blob gas.
        fee: u128,
        /// Wei per blob gas.
        minimum: u128,
    },
    /// The fee could exceed what RPC sends unasked.
    #[error("tx fee ({fee}) exceeds the configured cap ({cap} wei)")]
    FeeCap {
        /// Highest possible fee in wei.
        fee: U256,
        /// Wei.
        cap: u128,
    },
    /// Nonce 2^64 - 1.
    #[error("nonce has max value")]
    NonceMax,
    /// Not enough gas for the transaction itself.
    #[error("intrinsic gas too low: gas {gas}, minimum needed {needed}")]
    IntrinsicGas {
        /// Gas limit.
        gas: u64,
        /// Gas needed.
        needed: u64,
    },
    /// EIP-7623.
    #[error("insufficient gas for floor data gas cost: gas {gas}, minimum needed {needed}")]
    FloorDataGas {
        /// Gas limit.
        gas: u64,
        /// Gas needed.
        needed: u64,
    },
    /// EIP-7702 without an authorization.
    #[error("set code tx must have at least one authorization tuple")]
    EmptyAuthorizations,
    /// A blob transaction without its blobs.
    #[error("missing sidecar in blob transaction")]
    MissingSidecar,
    /// Blobs wrapped as before Osaka.
    #[error("unexpected sidecar version, want: 1, got: 0")]
    SidecarVersion,
    /// A type 3 transaction without hashes.
    #[error("blobless blob transaction")]
    Blobless,
    /// EIP-7594's limit for one transaction.
    #[error("too many blobs in transaction: have {have}, permitted {permitted}")]
    TooManyBlobs {
        /// Blobs in the transaction.
        have: usize,
        /// Blobs allowed.
        permitted: usize,
    },
    /// The sidecar's lists do not fit the hashes.
    #[error("invalid number of {have} {what} compared to {want} expected")]
    SidecarCount {
        /// Which list.
        what: &'static str,
        /// Its length.
        have: usize,
        /// The length it should have.
        want: usize,
    },
    /// A commitment is not the one that was signed for.
    #[error("blob {index}: computed hash {computed:#x} mismatches transaction one {signed:#x}")]
    VersionedHash {
        /// Position in the transaction.
        index: usize,
        /// From the commitment.
        computed: B256,
        /// From the transaction.
        signed: B256,
    },
    /// The cell proofs do not prove the blobs.
    #[error("KZG verification error: {0}")]
    Kzg(String),
    /// Already mined.
    #[error("nonce too low: next nonce {next}, tx nonce {nonce}")]
    NonceTooLow {
        /// The account's nonce.
        next: u64,
        /// The transaction's nonce.
        nonce: u64,
    },
    /// A gap where none may be.
    #[error("nonce too high: tx nonce {nonce}, gapped nonce {gap}")]
    NonceGap {
        /// The transaction's nonce.
        nonce: u64,
        /// The first missing nonce.
        gap: u64,
    },
    /// The transaction alone costs more than the account has.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, tx cost {cost}, overshot {}",
        cost.saturating_sub(*balance)
    )]
    InsufficientFunds {
        /// Wei.
        balance: U256,
        /// Wei.
        cost: U256,
    },
    /// Together with what the account already has in the pool it costs more than it has.
    #[error(
        "insufficient funds for gas * price + value: balance {balance}, queued cost {queued}, tx cost {cost}, overshot {}",
        queued.saturating_add(*cost).saturating_sub(*balance)
    )]
    Overdraft {
        /// Wei.
        balance: U256,
        /// Wei of the account's other pooled transactions.
        queued: U256,
        /// Wei.
        cost: U256,
    },
    /// The very same transaction is pooled or mined.
    #[error("already known")]
    AlreadyKnown,
    /// A replacement that does not pay enough more.
    #[error("replacement transaction underpriced{0}")]
    ReplaceUnderpriced(String),
    /// Blob and other transactions of one account exclude each other.
    #[error("address already reserved")]
    AlreadyReserved,
    /// An account may have only so many transactions in the pool.
    #[error("account limit exceeded: pooled {0} txs")]
    AccountLimit(usize),
    /// EIP-7702 accounts may have one transaction in flight.
    #[error("in-flight transaction limit reached for delegated accounts")]
    DelegatedInFlight,
    /// The pool is full of better-paying ones.
    #[error("transaction underpriced")]
    Underpriced,
    /// The pool is full.
    #[error("txpool is full")]
    Full,
}
