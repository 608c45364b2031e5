//! Evaluates the Tiltfile where there is no tilt, on stand-ins for Tilt's functions, and prints what `tilt alpha tiltfile-result` prints
//! as far as tests look at it: `tiltfile FOLDER [ARGUMENT ...]`. As there, 5 is the code of an end by a fault of the Tiltfile.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::{Value as Json, json};
use starlark::environment::{Globals, LibraryExtension, Module};
use starlark::eval::Evaluator;
use starlark::syntax::{AstModule, Dialect};
use starlark::values::Value;

const STAND_INS: &str = include_str!("tilt.star");

/// What the Tiltfile may read.
const READABLE: &str = "tilt/stack.yaml";

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_default());
    match evaluate(&folder, &arguments.collect::<Vec<_>>()) {
        Ok(result) => {
            println!("{result}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(5)
        }
    }
}

fn evaluate(folder: &Path, arguments: &[String]) -> Result<String, String> {
    let tiltfile = read(&folder.join("Tiltfile"))?;
    let yaml: Json = serde_norway::from_str(&read(&folder.join(READABLE))?)
        .map_err(|error| format!("{READABLE}: {error}"))?;
    let environment: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    let given = json!({
        "arguments": arguments,
        "environment": environment,
        "folder": folder,
        "files": {READABLE: yaml},
    });

    let globals = Globals::extended_by(&[LibraryExtension::StructType, LibraryExtension::Json]);
    Module::with_temp_heap(|module| {
        module.set("GIVEN", module.heap().alloc(given.to_string()));
        let mut evaluator = Evaluator::new(&module);
        run(&mut evaluator, &globals, "tilt.star", STAND_INS.to_owned())?;
        run(&mut evaluator, &globals, "Tiltfile", tiltfile)?;
        let result = run(&mut evaluator, &globals, "result", "result()".to_owned())?;
        result.to_json().map_err(|error| error.to_string())
    })
}

/// Runs a program that sees what those before it have defined. Its last expression is the value.
fn run<'v>(
    evaluator: &mut Evaluator<'v, '_, '_>,
    globals: &Globals,
    name: &str,
    program: String,
) -> Result<Value<'v>, String> {
    // As Tilt has it: statements outside of functions, neither types nor f-strings.
    let dialect = Dialect {
        enable_top_level_stmt: true,
        ..Dialect::Standard
    };
    let program = AstModule::parse(name, program, &dialect).map_err(|error| error.to_string())?;
    let value = evaluator.eval_module(program, globals);
    value.map_err(|error| error.to_string())
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}
