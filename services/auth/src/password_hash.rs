//! Argon2id hashes (RFC 9106) as PHC strings: making, reading and comparing them. The work is done where the caller says, in memory
//! that it lends.

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, Version};
use aws_lc_rs::{constant_time, rand};
use zeroize::Zeroizing;

use crate::hash_pool::Memory;
use crate::password::PasswordError;

/// A new hash, with a salt of its own.
pub(crate) fn hash(
    params: &Params,
    password: &[u8],
    memory: &mut Memory,
) -> Result<String, PasswordError> {
    let failed = |error: &dyn std::fmt::Display| PasswordError::Hash(error.to_string());
    let mut salt = [0; 16];
    rand::fill(&mut salt).map_err(|error| failed(&error))?;
    let mut out = Zeroizing::new([0_u8; 32]);
    derive(
        Algorithm::Argon2id,
        Version::V0x13,
        params,
        password,
        &salt,
        memory,
        out.as_mut_slice(),
    )?;
    Ok(PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params).map_err(|error| failed(&error))?,
        salt: Some(Salt::new(&salt).map_err(|error| failed(&error))?),
        hash: Some(Output::new(out.as_slice()).map_err(|error| failed(&error))?),
    }
    .to_string())
}

fn derive(
    algorithm: Algorithm,
    version: Version,
    params: &Params,
    password: &[u8],
    salt: &[u8],
    memory: &mut Memory,
    out: &mut [u8],
) -> Result<(), PasswordError> {
    Argon2::new(algorithm, version, params.clone())
        .hash_password_into_with_memory(password, salt, out, memory.blocks(params.block_count()))
        .map_err(|error| PasswordError::Hash(error.to_string()))
}

/// A stored hash, read.
pub(crate) struct Stored {
    algorithm: Algorithm,
    version: Version,
    pub(crate) params: Params,
    salt: Salt,
    output: Output,
}

impl Stored {
    pub(crate) fn parse(phc: &str) -> Result<Self, PasswordError> {
        let unreadable = |error: &dyn std::fmt::Display| PasswordError::Stored(error.to_string());
        let hash = PasswordHash::new(phc).map_err(|error| unreadable(&error))?;
        Ok(Self {
            algorithm: Algorithm::new(hash.algorithm.as_str())
                .map_err(|error| unreadable(&error))?,
            version: hash
                .version
                .map_or(Ok(Version::V0x13), Version::try_from)
                .map_err(|error| unreadable(&error))?,
            params: Params::try_from(&hash).map_err(|error| unreadable(&error))?,
            salt: hash.salt.ok_or_else(|| unreadable(&"it has no salt"))?,
            output: hash.hash.ok_or_else(|| unreadable(&"it has no output"))?,
        })
    }

    pub(crate) fn differs_from(&self, params: &Params) -> bool {
        self.algorithm != Algorithm::Argon2id
            || self.version != Version::V0x13
            || (
                self.params.m_cost(),
                self.params.t_cost(),
                self.params.p_cost(),
            ) != (params.m_cost(), params.t_cost(), params.p_cost())
    }

    pub(crate) fn matches(
        &self,
        password: &[u8],
        memory: &mut Memory,
    ) -> Result<bool, PasswordError> {
        let mut out = Zeroizing::new(vec![0_u8; self.output.len()]);
        derive(
            self.algorithm,
            self.version,
            &self.params,
            password,
            self.salt.as_ref(),
            memory,
            &mut out,
        )?;
        Ok(constant_time::verify_slices_are_equal(&out, self.output.as_bytes()).is_ok())
    }
}

/// The memory that one hash takes.
pub(crate) fn mib(params: &Params) -> usize {
    (params.block_count() * argon2::Block::SIZE).div_ceil(1024 * 1024)
}
