//! Tokens from a custom token endpoint (identity bindings), which is known by a name of its own in TLS.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::authority::{Authority, TOKEN, grant, tls};
use crate::pod::{Answer, CLIENT_ID, Pod, Sidecar, TENANT, ask, assertion};

const SNI_NAME: &str = "tokens.cluster.example";

/// A token endpoint whose clients must ask for [`SNI_NAME`], with a certificate for that name alone.
struct TokenEndpoint {
    served: Authority,
    certificate: Arc<ByName>,
}

#[derive(Debug)]
struct ByName(Mutex<Arc<CertifiedKey>>);

struct Ca(CertifiedIssuer<'static, KeyPair>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        (hello.server_name() == Some(SNI_NAME)).then(|| Arc::clone(&self.0.lock().unwrap()))
    }
}

impl Ca {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn pem(&self) -> String {
        self.0.pem()
    }

    fn leaf(&self, name: &str) -> Arc<CertifiedKey> {
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &self.0).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        Arc::new(CertifiedKey::from_der(vec![leaf.der().clone()], key, &provider).unwrap())
    }
}

impl TokenEndpoint {
    fn start(ca: &Ca) -> Self {
        let certificate = Arc::new(ByName(Mutex::new(ca.leaf(SNI_NAME))));
        let mut tls = tls().with_cert_resolver(Arc::clone(&certificate) as Arc<dyn ResolvesServerCert>);
        // On a resumed session nobody would look at the certificate.
        tls.send_tls13_tickets = 0;
        Self { served: Authority::start_with(tls, ca.pem()), certificate }
    }

    /// A pod of it, with the roots in a file. The authority is nowhere.
    fn pod(&self, path: &str) -> (Pod, PathBuf) {
        let mut pod = Pod::asking("https://entra.invalid/");
        let ca = pod.file("token-ca.crt");
        std::fs::write(&ca, &self.served.ca).unwrap();
        pod.set("AZURE_KUBERNETES_TOKEN_PROXY", &format!("https://{}{path}", self.served.address));
        pod.set("AZURE_KUBERNETES_SNI_NAME", SNI_NAME);
        pod.set("AZURE_KUBERNETES_CA_FILE", ca.to_str().unwrap());
        (pod, ca)
    }

    /// Grants the next token on a connection that ends with it, so that the next one is judged anew.
    fn grants(&self, token: &str) {
        let headers = [("content-type", "application/json"), ("connection", "close")];
        self.served.next(200, &headers, &grant(token, 3_599));
    }
}

/// A token for something that none was asked for before, so that no failure is remembered.
async fn token_for(sidecar: &Sidecar, resource: &str) -> Answer {
    let line = format!("GET /metadata/identity/oauth2/token?resource={resource}");
    ask(sidecar.address, &line, "Metadata: true\r\n").await
}

fn text(answer: &Answer) -> String {
    answer.json()["error_description"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn the_request_goes_there_under_the_path_of_both() {
    let endpoint = TokenEndpoint::start(&Ca::new("one"));
    let path = format!("/{TENANT}/oauth2/v2.0/token");
    for (base, authority, expected) in [
        ("", "https://entra.invalid/", path.clone()),
        ("/", "https://entra.invalid", path.clone()),
        ("/base/path", "https://entra.invalid/", format!("/base/path{path}")),
        ("/base/path/", "https://entra.invalid/adfs/", format!("/base/path/adfs{path}")),
    ] {
        let (mut pod, _) = endpoint.pod(base);
        pod.set("AZURE_AUTHORITY_HOST", authority);
        let answer = pod.start().imds().await;
        assert_eq!((answer.status, answer.json()["access_token"].as_str()), (200, Some(TOKEN)), "{answer:?}");
        let asked = endpoint.served.asked().pop().unwrap();
        assert_eq!(asked.line, format!("POST {expected}"));
        assert_eq!(
            (asked.form["client_id"].as_str(), asked.form["client_assertion"].as_str()),
            (CLIENT_ID, &*assertion("one"))
        );
    }
    assert_eq!(endpoint.served.asked().len(), 4);
}

#[tokio::test]
async fn a_host_by_name_and_roots_as_text() {
    let endpoint = TokenEndpoint::start(&Ca::new("one"));
    let (mut pod, _) = endpoint.pod("");
    pod.set("AZURE_KUBERNETES_TOKEN_PROXY", &format!("https://localhost:{}", endpoint.served.address.port()));
    pod.set("AZURE_KUBERNETES_CA_FILE", "");
    pod.set("AZURE_KUBERNETES_CA_DATA", &endpoint.served.ca);
    let answer = pod.start().imds().await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Where nothing else is said the authority's roots count, and the URL's name.
#[tokio::test]
async fn without_name_and_roots_it_is_a_server_like_any_other() {
    let served = Authority::start().await;
    let mut pod = Pod::new(&served);
    pod.set("AZURE_AUTHORITY_HOST", "https://entra.invalid/");
    pod.set("AZURE_KUBERNETES_TOKEN_PROXY", &format!("https://{}/t", served.address));
    let answer = pod.start().imds().await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(served.asked()[0].line, format!("POST /t/{TENANT}/oauth2/v2.0/token"));
}

#[tokio::test(start_paused = true)]
async fn whoever_is_not_trusted_gets_no_assertion() {
    let (one, other) = (Ca::new("one"), Ca::new("other"));
    let endpoint = TokenEndpoint::start(&one);
    for (change, part) in [
        // The authority's extra roots are not the token endpoint's.
        (("AZURE_KUBERNETES_CA_DATA", other.pem()), "invalid peer certificate: UnknownIssuer"),
        // The server has no certificate for this name.
        (("AZURE_KUBERNETES_SNI_NAME", "other.cluster.example".to_owned()), "cannot be reached"),
        // Nor for an address, of which TLS tells nothing.
        (("AZURE_KUBERNETES_SNI_NAME", String::new()), "cannot be reached"),
    ] {
        let (mut pod, _) = endpoint.pod("");
        let extra = pod.file("extra.crt");
        std::fs::write(&extra, one.pem()).unwrap();
        pod.set("PODBADGE_CA_FILE", extra.to_str().unwrap());
        if change.0 == "AZURE_KUBERNETES_CA_DATA" {
            pod.set("AZURE_KUBERNETES_CA_FILE", "");
        }
        pod.set(change.0, &change.1);
        let answer = pod.start().imds().await;
        let begin = format!("The custom token endpoint https://{}/ cannot be reached", endpoint.served.address);
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(text(&answer).starts_with(&begin) && text(&answer).contains(part), "{answer:?}");
    }
    // One that is trusted, for another name.
    *endpoint.certificate.0.lock().unwrap() = one.leaf("other.cluster.example");
    let answer = endpoint.pod("").0.start().imds().await;
    assert!(answer.status == 503 && text(&answer).contains("certificate not valid for name"), "{answer:?}");
    assert!(endpoint.served.asked().is_empty());
}

#[tokio::test]
async fn roots_are_replaced_between_two_exchanges() {
    let (old, new) = (Ca::new("old"), Ca::new("new"));
    let endpoint = TokenEndpoint::start(&old);
    let (pod, file) = endpoint.pod("");
    let sidecar = pod.start();
    // At the first exchange there must be roots.
    std::fs::write(&file, "").unwrap();
    let answer = token_for(&sidecar, "empty").await;
    assert!(answer.status == 503 && text(&answer).contains("no roots in ") && text(&answer).contains("it has none"));

    std::fs::write(&file, old.pem()).unwrap();
    let granted = async |resource: &str| {
        endpoint.grants(resource);
        let answer = token_for(&sidecar, resource).await;
        assert_eq!((answer.status, answer.json()["access_token"].as_str()), (200, Some(resource)), "{answer:?}");
    };
    granted("first").await;
    // In the middle of a replacement the last good ones count.
    for (written, resource) in [("", "emptied"), ("-----BEGIN CERTIFICATE-----\nMIIB", "half")] {
        std::fs::write(&file, written).unwrap();
        granted(resource).await;
    }
    std::fs::remove_file(&file).unwrap();
    granted("gone").await;

    *endpoint.certificate.0.lock().unwrap() = new.leaf(SNI_NAME);
    let answer = token_for(&sidecar, "late").await;
    assert!(answer.status == 503 && text(&answer).contains("invalid peer certificate"), "{answer:?}");
    std::fs::write(&file, new.pem()).unwrap();
    granted("renewed").await;
    // What was trusted once is not any more.
    *endpoint.certificate.0.lock().unwrap() = old.leaf(SNI_NAME);
    assert_eq!(token_for(&sidecar, "old").await.status, 503);
    // Both, as in a rotation without haste.
    std::fs::write(&file, format!("{}{}", old.pem(), new.pem())).unwrap();
    granted("both").await;
    assert_eq!(endpoint.served.asked().len(), 6);
}

#[tokio::test(start_paused = true)]
async fn a_proxy_is_asked_for_it() {
    let proxy = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let mut pod = Pod::asking("https://entra.invalid/");
    pod.set("AZURE_KUBERNETES_TOKEN_PROXY", "https://tokens.invalid:8443/");
    pod.set("HTTPS_PROXY", &format!("http://{}", proxy.local_addr().unwrap()));
    let asked = tokio::spawn(async move {
        let (stream, _) = proxy.accept().await.unwrap();
        let mut line = String::new();
        BufReader::new(stream).read_line(&mut line).await.unwrap();
        line
    });
    assert_eq!(pod.start().imds().await.status, 503);
    assert_eq!(asked.await.unwrap(), "CONNECT tokens.invalid:8443 HTTP/1.1\r\n");
}
