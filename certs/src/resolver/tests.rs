use rustls::{
    ClientConfig, ClientConnection, Connection, Error, ProtocolVersion, RootCertStore, ServerConnection,
    pki_types::ServerName,
};

use super::*;
use crate::{bundle::Bundle, fake::names, issue, now, policy::Policy, state::Whole};

fn made() -> Whole {
    issue::whole(&names(), &Policy::default(), &Bundle::default(), now()).unwrap()
}

fn client(whole: &Whole, versions: &[&'static SupportedProtocolVersion], alpn: &[u8]) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(whole.authority.certificate().der().clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let name = ServerName::try_from(names().called()).unwrap();
    ClientConnection::new(Arc::new(config), name).unwrap()
}

/// A whole TLS handshake in memory.
fn handshake(config: &Arc<ServerConfig>, client: ClientConnection) -> Result<(Connection, Connection), Error> {
    let mut server = Connection::from(ServerConnection::new(Arc::clone(config)).unwrap());
    let mut client = Connection::from(client);
    while client.is_handshaking() || server.is_handshaking() {
        for turn in 0..2 {
            let (from, to) = if turn == 0 { (&mut client, &mut server) } else { (&mut server, &mut client) };
            let mut wire = Vec::new();
            while from.wants_write() {
                from.write_tls(&mut wire).unwrap();
            }
            let mut wire = wire.as_slice();
            while !wire.is_empty() {
                to.read_tls(&mut wire).unwrap();
                to.process_new_packets()?;
            }
        }
    }
    Ok((client, server))
}

#[test]
fn what_is_published_is_served_from_the_next_handshake_on() {
    let serving = Serving::default();
    let config = server_config(&serving, MinVersion::Tls13).unwrap();
    let (one, two) = (made(), made());
    assert!(handshake(&config, client(&one, &[&TLS13], b"h2")).is_err(), "nothing to serve yet");

    assert_eq!(serving.publish(one.leaf.clone()), 1);
    let (client_side, _open) = handshake(&config, client(&one, &[&TLS13], b"h2")).unwrap();
    assert_eq!(client_side.alpn_protocol(), Some(b"h2".as_slice()));
    assert_eq!(client_side.peer_certificates().unwrap()[0], *one.leaf.chain()[0].der());

    assert_eq!(serving.publish(two.leaf.clone()), 2);
    handshake(&config, client(&two, &[&TLS13], b"http/1.1")).unwrap();
    let refused = handshake(&config, client(&one, &[&TLS13], b"h2")).unwrap_err();
    assert!(matches!(refused, Error::InvalidCertificate(_)), "{refused}");
}

#[test]
fn the_generation_grows_with_changes_only() {
    let serving = Serving::default();
    let (one, two) = (made().leaf, made().leaf);
    assert!(serving.current().is_none());
    assert_eq!(serving.publish(one.clone()), 1);
    assert_eq!(serving.publish(one.clone()), 1, "the same again");
    assert_eq!(serving.publish(two), 2);
    assert_eq!(serving.publish(one), 3);
    assert_eq!(serving.current().unwrap().generation, 3);
}

#[test]
fn the_oldest_version_is_as_chosen() {
    let serving = Serving::default();
    let whole = made();
    serving.publish(whole.leaf.clone());
    let strict = server_config(&serving, MinVersion::Tls13).unwrap();
    assert!(handshake(&strict, client(&whole, &[&TLS12], b"http/1.1")).is_err());
    let lenient = server_config(&serving, MinVersion::Tls12).unwrap();
    for (offered, spoken) in [(&TLS12, ProtocolVersion::TLSv1_2), (&TLS13, ProtocolVersion::TLSv1_3)] {
        let (client_side, _) = handshake(&lenient, client(&whole, &[offered], b"http/1.1")).unwrap();
        assert_eq!(client_side.protocol_version(), Some(spoken));
    }
}
