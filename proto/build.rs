//! Compiles the contracts: no protoc, no generated code in git. Refuses a method without an access option, because nothing is
//! public by omission.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage, FileDescriptor, MethodDescriptor, Value};

/// A `google.protobuf.FileDescriptorSet` whose files stay encoded: decoding would lose the custom options.
#[derive(Clone, PartialEq, prost::Message)]
struct EncodedFiles {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

const MESH: i32 = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(env::var("OUT_DIR")?);

    let mut files = Vec::new();
    for folder in ["google", "grimoire"] {
        proto_files(&root.join(folder), &mut files)?;
        println!("cargo::rerun-if-changed={folder}");
    }
    files.sort();

    let mut compiler = protox::Compiler::new([&root])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(&files)?;
    let encoded = compiler.encode_file_descriptor_set();
    let pool = compiler.descriptor_pool();

    check_access(&pool)?;
    check_failures(&pool)?;
    fs::write(out.join("descriptors.bin"), &encoded)?;
    fs::write(
        out.join("edge_descriptors.bin"),
        edge_files(&pool, &encoded)?,
    )?;
    fs::write(out.join("reason.rs"), reasons(&pool)?)?;

    tonic_prost_build::configure()
        .include_file("contracts.rs")
        // In Rust they are tonic-types'. They are here for clients in other languages, and for reflection.
        .extern_path(".google.rpc", "::tonic_types::pb")
        .compile_fds_with_config(compiler.file_descriptor_set(), {
            let mut config = tonic_prost_build::Config::new();
            config.enable_type_names();
            config
        })?;
    Ok(())
}

fn proto_files(folder: &Path, into: &mut Vec<PathBuf>) -> Result<(), Box<dyn Error>> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            proto_files(&path, into)?;
        } else if path
            .extension()
            .is_some_and(|extension| extension == "proto")
        {
            into.push(path);
        }
    }
    Ok(())
}

/// Each method says who may call it, each service says who serves it, and a MESH method lives in a file of MESH methods, so
/// that reflection at the edge can leave the file out.
fn check_access(pool: &DescriptorPool) -> Result<(), Box<dyn Error>> {
    for service in pool.services() {
        let upstream = pool
            .get_extension_by_name("grimoire.options.v1.upstream")
            .ok_or("grimoire.options.v1.upstream is not declared")?;
        if !service.options().has_extension(&upstream) {
            return Err(format!(
                "{}: option (grimoire.options.v1.upstream) is missing",
                service.full_name()
            )
            .into());
        }
        for method in service.methods() {
            if level(pool, &method)? == 0 {
                return Err(format!(
                    "{}: option (grimoire.options.v1.access) with a level is missing",
                    method.full_name()
                )
                .into());
            }
        }
    }
    for file in pool.files() {
        let levels: BTreeSet<bool> = file
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>())
            .map(|method| level(pool, &method).map(|level| level == MESH))
            .collect::<Result<_, _>>()?;
        if levels.len() > 1 {
            return Err(format!("{}: MESH methods need a file of their own", file.name()).into());
        }
    }
    Ok(())
}

fn level(pool: &DescriptorPool, method: &MethodDescriptor) -> Result<i32, Box<dyn Error>> {
    let access = pool
        .get_extension_by_name("grimoire.options.v1.access")
        .ok_or("grimoire.options.v1.access is not declared")?;
    let options = method.options();
    if !options.has_extension(&access) {
        return Ok(0);
    }
    Ok(options
        .get_extension(&access)
        .as_message()
        .and_then(|access| {
            access
                .get_field_by_name("level")
                .and_then(|level| level.as_enum_number())
        })
        .unwrap_or(0))
}

/// What a method says it can fail with are reasons.
fn check_failures(pool: &DescriptorPool) -> Result<(), Box<dyn Error>> {
    let failures = pool
        .get_extension_by_name("grimoire.options.v1.failures")
        .ok_or("grimoire.options.v1.failures is not declared")?;
    let reasons = pool
        .get_enum_by_name("grimoire.errors.v1.Reason")
        .ok_or("grimoire.errors.v1.Reason is missing")?;
    for method in pool
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
    {
        let options = method.options();
        let failures = options.get_extension(&failures);
        let named = failures
            .as_message()
            .and_then(|failures| failures.get_field_by_name("reasons"));
        let named = named.as_deref().and_then(Value::as_list);
        for name in named.unwrap_or_default().iter().filter_map(Value::as_str) {
            if reasons
                .get_value_by_name(&format!("REASON_{name}"))
                .is_none()
            {
                return Err(format!("{}: there is no reason {name}", method.full_name()).into());
            }
        }
    }
    Ok(())
}

/// The files that a public client needs: those with a service that is not MESH, what they import, and what failures are made of.
fn edge_files(pool: &DescriptorPool, encoded: &[u8]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut keep = BTreeSet::new();
    for file in pool.files() {
        let mut methods = file
            .services()
            .flat_map(|service| service.methods().collect::<Vec<_>>());
        let edge = methods.try_fold(false, |edge, method| {
            level(pool, &method).map(|level| edge || level != MESH)
        })?;
        if edge || ["grimoire.errors.v1", "google.rpc"].contains(&file.package_name()) {
            with_imports(&file, &mut keep);
        }
    }
    let mut set = EncodedFiles::decode(encoded)?;
    let mut kept = Vec::new();
    for file in set.file.drain(..) {
        let name = prost_types::FileDescriptorProto::decode(file.as_slice())?
            .name
            .unwrap_or_default();
        if keep.contains(&name) {
            kept.push(file);
        }
    }
    Ok(EncodedFiles { file: kept }.encode_to_vec())
}

fn with_imports(file: &FileDescriptor, keep: &mut BTreeSet<String>) {
    if keep.insert(file.name().to_owned()) {
        for import in file.dependencies() {
            with_imports(&import, keep);
        }
    }
}

/// `Reason`'s codes as a table in Rust, so that no descriptor is read to answer an error.
fn reasons(pool: &DescriptorPool) -> Result<String, Box<dyn Error>> {
    let reason = pool
        .get_enum_by_name("grimoire.errors.v1.Reason")
        .ok_or("grimoire.errors.v1.Reason is missing")?;
    let failure = pool
        .get_extension_by_name("grimoire.options.v1.failure")
        .ok_or("grimoire.options.v1.failure is not declared")?;
    let mut rows = String::from("&[\n");
    for value in reason.values() {
        let options = value.options();
        let meaning = options.get_extension(&failure);
        let meaning = meaning
            .as_message()
            .filter(|_| options.has_extension(&failure))
            .ok_or_else(|| {
                format!(
                    "{}: option (grimoire.options.v1.failure) is missing",
                    value.full_name()
                )
            })?;
        let name = value
            .name()
            .strip_prefix("REASON_")
            .ok_or("reasons begin with REASON_")?;
        writeln!(
            rows,
            "    Meaning {{ number: {}, name: {name:?}, code: {}, http_status: {}, title: {:?} }},",
            value.number(),
            number(meaning, "code"),
            number(meaning, "http_status"),
            meaning
                .get_field_by_name("title")
                .and_then(|title| title.as_str().map(str::to_owned))
                .unwrap_or_default(),
        )?;
    }
    rows.push(']');
    Ok(rows)
}

fn number(message: &DynamicMessage, field: &str) -> u32 {
    match message.get_field_by_name(field).as_deref() {
        Some(Value::U32(number)) => *number,
        _ => 0,
    }
}
