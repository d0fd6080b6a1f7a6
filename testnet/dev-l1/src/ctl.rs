//! `dev-l1 ctl`: the `dev_*` methods of a running chain, from a command line.

use std::io::Write;
use std::time::Duration;

use serde_json::{Value, json};

/// A method answers within a second; building a thousand blocks may take longer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Examples of `dev-l1 ctl --help`.
const EXAMPLES: &str = "Examples:
  dev-l1 ctl reorg '{\"depth\":3}'
  dev-l1 ctl outage '{\"seconds\":20,\"mode\":\"hang\"}'
  dev-l1 ctl feeSpike '{\"factor\":50,\"blocks\":10}'
  dev-l1 ctl setBalance 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266 0x0
  dev-l1 ctl dropMempool --rpc http://127.0.0.1:9545
  dev-l1 ctl lie '{\"kind\":\"staleHead\",\"blocks\":5,\"seconds\":60}' --rpc http://127.0.0.1:8546
  dev-l1 ctl faults
Others: mine, setAutomine, setNextBaseFee, setBlobBaseFee, expireBlobs.";

/// One call.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Ctl {
    /// URL of the endpoint that is meant.
    #[arg(long, value_name = "URL", env = "DEV_L1_RPC", default_value = "http://127.0.0.1:8545")]
    rpc: String,

    /// Name of the method; `dev_` in front may be left out.
    method: String,

    /// Its parameters, each as JSON; what is no JSON is taken for text.
    params: Vec<String>,
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub enum CtlError {
    /// Nobody answers there, or not as dev-l1 does.
    #[error("{0}: is dev-l1 running there? name another with --rpc")]
    Unreachable(#[from] reqwest::Error),
    /// The method was refused.
    #[error("{0}")]
    Refused(String),
}

/// Makes the call and prints the result.
///
/// # Errors
/// See [`CtlError`].
pub(crate) async fn run(ctl: Ctl) -> Result<(), CtlError> {
    let name = ctl.method.strip_prefix("dev_").unwrap_or(&ctl.method);
    let params: Vec<Value> = ctl.params.iter().map(|text| parsed(text)).collect();
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": format!("dev_{name}"), "params": params });
    let client = reqwest::Client::builder().timeout(TIMEOUT).build()?;
    let answer: Value = client.post(&ctl.rpc).json(&call).send().await?.error_for_status()?.json().await?;
    if let Some(error) = answer.get("error") {
        let message = error.get("message").and_then(Value::as_str);
        return Err(CtlError::Refused(message.unwrap_or("refused without a reason").to_owned()));
    }
    // Nobody reading it is no failure of the call.
    let _ = writeln!(std::io::stdout(), "{}", answer.get("result").unwrap_or(&Value::Null));
    Ok(())
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()))
}
