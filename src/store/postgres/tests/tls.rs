//! Encrypted connections: to whom somebody vouches for, and to nobody else.

use std::path::Path;
use std::process::Command;

use test_servers::Cluster;

use crate::store::StoreError;
use crate::store::postgres::{Address, Target};

fn openssl(dir: &Path, arguments: &str) {
    let output = Command::new("openssl").args(arguments.split(' ')).current_dir(dir).output();
    let output = output.expect("openssl runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An authority, and a server's certificate for this name from it.
fn certify(dir: &Path, name: &str) {
    openssl(
        dir,
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=test -keyout ca.key -out ca.pem",
    );
    openssl(dir, "req -newkey rsa:2048 -nodes -subj /CN=server -keyout server.key -out server.csr");
    std::fs::write(dir.join("names"), format!("subjectAltName={name}")).unwrap();
    openssl(
        dir,
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \
         -extfile names -out server.pem",
    );
    // The server wants its key for itself.
    let owner = std::fs::metadata(dir.join("data")).unwrap();
    let (uid, gid) =
        (std::os::unix::fs::MetadataExt::uid(&owner), std::os::unix::fs::MetadataExt::gid(&owner));
    for file in ["server.key", "server.pem"] {
        let path = dir.join(file);
        std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
        let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, private).unwrap();
    }
}

/// A server with a certificate for this name.
fn server(name: &str) -> Cluster {
    let cluster = Cluster::start(&[]);
    certify(cluster.dir(), name);
    cluster.stop();
    let file =
        |setting: &str, name: &str| format!("{setting}={}", cluster.dir().join(name).display());
    let (cert, key) = (file("ssl_cert_file", "server.pem"), file("ssl_key_file", "server.key"));
    cluster.start_with(&["ssl=on", &cert, &key]);
    cluster
}

fn is_encrypted(cluster: &Cluster, params: &[(&str, &str)]) -> Result<bool, StoreError> {
    let account = cluster.account();
    let params = params.iter().map(|(key, value)| (key.to_string(), value.to_string()));
    let target = Target::new(&Address {
        hosts: format!("127.0.0.1:{}", account.port),
        user: account.user,
        password: account.password,
        database: account.database,
        params: params.collect(),
    })?;
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    Ok(target.connect("test")?.query_one(sql, &[])?.get(0))
}

#[test]
fn a_server_is_believed_by_its_authority_and_its_name() {
    let cluster = server("IP:127.0.0.1");
    let ca = cluster.dir().join("ca.pem").display().to_string();
    assert_eq!(is_encrypted(&cluster, &[]), Ok(false));
    for mode in ["require", "verify-full"] {
        let params = [("sslmode", mode), ("sslrootcert", &*ca)];
        assert_eq!(is_encrypted(&cluster, &params), Ok(true), "{mode}");
        let unknown = is_encrypted(&cluster, &[("sslmode", mode)]);
        assert!(matches!(unknown, Err(StoreError::Unavailable(_) | StoreError::Unusable(_))));
    }
    let jdbc = [("ssl", "true"), ("sslrootcert", &*ca)];
    assert_eq!(is_encrypted(&cluster, &jdbc), Ok(true));
    assert!(is_encrypted(&cluster, &[("sslmode", "perhaps")]).is_err());
}

#[test]
fn a_wrong_name_is_refused() {
    let cluster = server("DNS:elsewhere.test");
    let ca = cluster.dir().join("ca.pem").display().to_string();
    let refused = is_encrypted(&cluster, &[("sslmode", "require"), ("sslrootcert", &*ca)]);
    let Err(StoreError::Unavailable(why)) = refused else { panic!("{refused:?}") };
    assert!(why.contains("certificate") || why.contains("name"), "{why}");
}
