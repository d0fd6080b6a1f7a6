//! The `dev-l1` program.

fn main() -> color_eyre::Result<()> {
    color_eyre::install()?;
    Ok(dev_l1::main_from_args(std::env::args_os())?)
}
