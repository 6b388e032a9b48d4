//! What an edge says before a connection, and what HAProxy says to its edge.

use endtoend_haproxy::{NotAHeader, ProxyHeader, parse_info, parse_proc, parse_servers_state, parse_stat};

use crate::{choice, chosen};

/// A header is read as it is written, whatever follows; what HAProxy prints is a value or an error.
pub fn edge(data: &[u8]) {
    let (first, rest) = choice(data);
    let text = String::from_utf8_lossy(rest);
    match first {
        0 => header(rest),
        1 => drop(parse_servers_state(&text)),
        2 => drop(parse_stat(&text)),
        3 => drop(parse_info(&text)),
        4 => drop(parse_proc(&text)),
        _ => {}
    }
}

fn header(bytes: &[u8]) {
    let Some((head, body)) = bytes.split_first_chunk() else { return };
    let Ok(length) = ProxyHeader::body_bytes(head) else { return };
    assert!(length <= ProxyHeader::BODY_BYTES_MAX);
    let Some(body) = body.get(..length) else {
        assert_eq!(ProxyHeader::parse(head, body), Err(NotAHeader::TooShort));
        return;
    };
    if let Ok(ProxyHeader::For(client)) = ProxyHeader::parse(head, body) {
        let bytes = match client.ip() {
            std::net::IpAddr::V4(ip) => ip.octets().to_vec(),
            std::net::IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        assert!(body.windows(bytes.len()).any(|window| window == bytes), "an address that nobody has said");
    }
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let signature = b"\r\n\r\n\0\r\nQUIT\n";
    let head = |command, family, length| [&signature[..], &[command, family, 0, length]].concat();
    vec![
        chosen(0, &[head(0x21, 0x11, 12), vec![1; 12]].concat()),
        chosen(0, &[head(0x21, 0x21, 36), vec![2; 36]].concat()),
        chosen(0, &head(0x20, 0, 0)),
        chosen(
            1,
            b"1\n# be_name srv_name srv_addr srv_port srv_op_state srv_admin_state srv_uweight srv_check_state \
            srv_check_port srv_check_addr\nnodes n1 127.0.0.1 8443 2 0 100 6 9464 127.0.0.1\n",
        ),
        chosen(2, b"# pxname,svname,scur,slim,stot,status,lastchg,\nnodes,n1,3,5000,41,UP,17,\n"),
        chosen(3, b"Version: 2.6.12\nPid: 17\ndescription: endtoend-edge/0011223344556677\n"),
        chosen(4, b"#<PID> <type>\n1 master 0\n# workers\n2 worker 0\n# old workers\n3 worker 1\n"),
    ]
}
