//! Plain HTTP on the same port, and what gRPC clients find without being told.

mod support;

use serde_json::{Value, json};
use support::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use veltrix_proto::v1;

async fn json(control_plane: &ControlPlane, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let (status, body) = call(control_plane, method, path, &body).await;
    (status, serde_json::from_str(&body).unwrap_or_else(|fault| panic!("{fault}: {body}")))
}

fn base64(bytes: &[u8]) -> String {
    use prost_reflect::{DescriptorPool, DynamicMessage, Value};
    // Through the protobuf JSON mapping of a BytesValue, which is base64.
    let descriptor = DescriptorPool::global().get_message_by_name("google.protobuf.BytesValue").unwrap();
    let mut message = DynamicMessage::new(descriptor);
    message.set_field_by_name("value", Value::Bytes(bytes.to_vec().into()));
    serde_json::to_value(&message).unwrap().as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_map_is_updated_and_read_as_json() {
    let control_plane = ControlPlane::start().await;
    let body = json!({ "routeMap": base64(&map("a")), "sha256": base64(&sha256(&map("a"))), "note": "over http" });
    let (status, answer) = json(&control_plane, "POST", "/v1/route-map", &body).await;
    assert_eq!((status, &answer["version"]), (200, &json!("1")));
    assert_eq!(answer["size"]["routes"], "1");
    let (status, answer) = json(&control_plane, "GET", "/v1/route-map", &Value::Null).await;
    assert_eq!((status, &answer["routeMap"]), (200, &json!(base64(&map("a")))));
    assert_eq!(answer["version"]["note"], "over http");
    let (_, answer) = json(&control_plane, "GET", "/v1/versions?limit=5", &Value::Null).await;
    assert_eq!(answer["versions"][0]["state"], "STATE_COMMITTED");
    let (_, answer) = json(&control_plane, "GET", "/v1/engines", &Value::Null).await;
    assert_eq!(answer["versionInForce"], "1");
    let (_, answer) = json(&control_plane, "GET", "/v1/limits", &Value::Null).await;
    let routes = answer["limits"].as_array().unwrap().iter().find(|limit| limit["name"] == "routes").unwrap();
    assert_eq!(routes["used"], "1");
    control_plane.stop().await;
}

#[tokio::test]
async fn a_web_page_that_an_operator_opens_can_neither_change_nor_read_anything() {
    let control_plane = ControlPlane::with(veltrix_control_plane::Config {
        allowed_hosts: vec!["veltrix.example.com".parse().unwrap()],
        ..Default::default()
    })
    .await;
    let body = json!({ "routeMap": base64(&map("a")) }).to_string().into_bytes();
    // The same over gRPC, framed, as a page could send it over HTTP/1.1.
    let message = prost::Message::encode_to_vec(&update(&map("a")));
    let framed = [&[0][..], &(message.len() as u32).to_be_bytes(), &message].concat();
    let (json_path, grpc_path) = ("/v1/route-map", "/veltrix.v1.ControlPlane/UpdateRouteMap");
    let json = "content-type: application/json\r\n";
    let cases = [
        (json_path, &body, "host: localhost\r\ncontent-type: text/plain\r\n".to_owned(), 415, "-H 'content-type:"),
        (json_path, &body, "host: localhost\r\n".to_owned(), 415, "-H 'content-type:"),
        (json_path, &body, format!("host: localhost\r\norigin: http://evil.example\r\n{json}"), 403, "web page"),
        (json_path, &body, format!("host: localhost\r\nsec-fetch-site: cross-site\r\n{json}"), 403, "web page"),
        (json_path, &body, format!("host: evil.example\r\norigin: http://evil.example\r\n{json}"), 403, "--allow-host"),
        (grpc_path, &framed, "host: localhost\r\ncontent-type: text/plain\r\n".to_owned(), 415, "application/grpc"),
        (
            grpc_path,
            &framed,
            "host: evil.example\r\ncontent-type: application/grpc\r\n".to_owned(),
            403,
            "--allow-host",
        ),
    ];
    for (path, body, headers, expected, hint) in cases {
        let (status, answer) = call_with(&control_plane, "POST", path, &headers, body).await;
        assert_eq!(status, expected, "{path} {headers}: {answer}");
        assert!(
            serde_json::from_str::<Value>(&answer).unwrap()["message"].as_str().unwrap().contains(hint),
            "{answer}"
        );
    }
    for (path, expected) in [("/v1/route-map", 403), ("/v1/engines", 403), ("/metrics", 200)] {
        assert_eq!(call_with(&control_plane, "GET", path, "host: evil.example\r\n", b"").await.0, expected, "{path}");
    }
    let mut operator = control_plane.operator().await;
    assert_eq!(operator.in_force().await, None, "nothing of all this has come in force");
    let allowed = format!("host: veltrix.example.com:7070\r\n{json}");
    assert_eq!(call_with(&control_plane, "POST", json_path, &allowed, &body).await.0, 200);
    control_plane.stop().await;
}

#[tokio::test]
async fn errors_over_http_have_the_status_of_their_kind_and_details() {
    let control_plane = ControlPlane::start().await;
    let (status, error) = json(&control_plane, "POST", "/v1/route-map", &json!({})).await;
    assert_eq!((status, &error["code"]), (400, &json!(3)));
    assert_eq!(error["details"][0]["@type"], "type.googleapis.com/google.rpc.BadRequest");
    assert_eq!(error["details"][0]["fieldViolations"][0]["field"], "route_map");

    let body = json!({ "routeMap": base64(&map("a")), "expectedVersion": "4" });
    let (status, error) = json(&control_plane, "POST", "/v1/route-map", &body).await;
    assert_eq!((status, &error["details"][0]["metadata"]["expected_version"]), (409, &json!("4")));
    let body = json!({ "routeMap": base64(&map("a")), "minimumEngines": 1 });
    let (status, error) = json(&control_plane, "POST", "/v1/route-map", &body).await;
    assert_eq!((status, &error["details"][0]["violations"][0]["type"]), (400, &json!("MINIMUM_ENGINES")));

    let cases = [
        ("POST", "/v1/route-map", &b"not json"[..], 400),
        ("POST", "/v1/route-map", b"{\"routemap\": \"\"}", 400),
        ("POST", "/v1/route-map", b"{\"routeMap\": \"%\"}", 400),
        ("GET", "/v1/route-map", b"", 404),
        ("GET", "/v1/route-map?version=7", b"", 404),
        ("GET", "/v1/route-map?version=x", b"", 400),
        ("GET", "/v1/route-map?verzion=1", b"", 400),
        ("GET", "/v1/versions?limit=-1", b"", 400),
        ("GET", "/v2/route-map", b"", 404),
    ];
    for (method, path, body, expected) in cases {
        let (status, body) = call(&control_plane, method, path, body).await;
        assert_eq!(status, expected, "{method} {path}: {body}");
        assert!(serde_json::from_str::<Value>(&body).unwrap()["message"].is_string(), "{method} {path}: {body}");
    }
    assert_eq!(call(&control_plane, "DELETE", "/v1/route-map", b"").await.0, 405);
    control_plane.stop().await;
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_before_it_is_received() {
    let control_plane = ControlPlane::start().await;
    let mut stream = tokio::net::TcpStream::connect(control_plane.address).await.unwrap();
    let length = veltrix_control_plane::limits::JSON_REQUEST_BYTES + 1;
    let kind = "content-type: application/json";
    let head = format!("POST /v1/route-map HTTP/1.1\r\nhost: test\r\n{kind}\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    in_time("a refusal", stream.read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 413");
    drop(stream);
    control_plane.stop().await;
}

#[tokio::test]
async fn bodies_that_are_slow_to_arrive_take_nobodys_place() {
    let control_plane = ControlPlane::start().await;
    let body = json!({ "routeMap": base64(&map("slow")) }).to_string();
    let mut slow = Vec::new();
    for number in 0..veltrix_control_plane::limits::UPDATES_WAITING * 2 {
        let mut stream = tokio::net::TcpStream::connect(control_plane.address).await.unwrap();
        let (path, kind) = match number % 2 {
            0 => ("/v1/route-map", "application/json"),
            _ => ("/veltrix.v1.ControlPlane/UpdateRouteMap", "application/grpc"),
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: test\r\ncontent-type: {kind}\r\nexpect: 100-continue\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        // It is said when somebody wants the body.
        let mut goes_on = [0; 25];
        in_time("leave to send the body", stream.read_exact(&mut goes_on)).await.unwrap();
        assert_eq!(&goes_on, b"HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(&body.as_bytes()[..body.len() / 2]).await.unwrap();
        slow.push(stream);
    }
    let mut operator = control_plane.operator().await;
    assert_eq!(operator.update(update(&map("quick"))).await.unwrap().version, 1);
    slow[0].write_all(&body.as_bytes()[body.len() / 2..]).await.unwrap();
    let mut answer = [0; 12];
    in_time("an answer", slow[0].read_exact(&mut answer)).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert_eq!(operator.in_force().await, Some((2, map("slow"))));
    drop(slow);
    control_plane.stop().await;
}

#[tokio::test]
async fn more_reads_of_whole_maps_than_fit_are_refused_until_clients_have_theirs() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    // More than what sockets keep for a client that does not read.
    operator.update(update(&large_map(80_000, 0))).await.unwrap();
    let mut slow = Vec::new();
    for _ in 0..veltrix_control_plane::limits::MAP_READS {
        let mut stream = tokio::net::TcpStream::connect(control_plane.address).await.unwrap();
        stream.write_all(b"GET /v1/route-map HTTP/1.1\r\nhost: test\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        in_time("an answer", stream.read_exact(&mut answer)).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
        slow.push(stream);
    }
    let (status, error) = json(&control_plane, "GET", "/v1/route-map", &Value::Null).await;
    assert_eq!((status, &error["code"]), (429, &json!(8)));
    assert!(error["message"].as_str().unwrap().starts_with("4 RouteMaps are being read"), "{error}");
    let refused = operator.0.get_route_map(v1::GetRouteMapRequest::default()).await.unwrap_err();
    assert_eq!(refused.code(), tonic::Code::ResourceExhausted, "{refused}");
    assert!(operator.engines().await.engines.is_empty(), "what is small is answered all the while");
    drop(slow.pop());
    let read = async { while call(&control_plane, "GET", "/v1/route-map", b"").await.0 != 200 {} };
    in_time("leave to read", read).await;
    control_plane.stop().await;
}

#[tokio::test]
async fn health_readiness_and_metrics_are_served() {
    let control_plane = ControlPlane::start().await;
    let mut operator = control_plane.operator().await;
    operator.update(update(&map("a"))).await.unwrap();
    operator.update(update(&bytes::Bytes::new())).await.unwrap_err();
    let mut one = control_plane.engine("one").await;
    one.welcome().await;
    operator.until_connected(1).await;

    assert_eq!(call(&control_plane, "GET", "/healthz", b"").await, (200, "ok\n".into()));
    let (status, ready) = json(&control_plane, "GET", "/readyz", &Value::Null).await;
    assert_eq!((status, &ready["ready"], &ready["versionInForce"]), (200, &json!(true), &json!(1)));
    let (_, metrics) = call(&control_plane, "GET", "/metrics", b"").await;
    for line in [
        "veltrix_control_plane_updates_total{result=\"in_force\"} 1",
        "veltrix_control_plane_updates_total{result=\"refused\"} 1",
        "veltrix_control_plane_version_in_force 1",
        "veltrix_control_plane_engines_connected 1",
        "veltrix_control_plane_engines_behind 1",
        "veltrix_control_plane_limit_used{limit=\"routes\"} 1",
    ] {
        assert!(metrics.lines().any(|found| found == line), "no {line} in {metrics}");
    }
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        assert!(line.starts_with("veltrix_control_plane_"), "{line}");
    }
    control_plane.stop().await;
}

#[tokio::test]
async fn grpc_health_says_that_both_services_serve() {
    let control_plane = ControlPlane::start().await;
    let mut client = HealthClient::new(control_plane.channel().await);
    for service in ["", "veltrix.v1.ControlPlane", "veltrix.v1.RouteUpdates"] {
        let request = HealthCheckRequest { service: service.into() };
        let HealthCheckResponse { status } = in_time("health", client.check(request)).await.unwrap().into_inner();
        assert_eq!(status, ServingStatus::Serving as i32, "{service}");
    }
    control_plane.stop().await;
}

#[tokio::test]
async fn reflection_lists_the_services() {
    let control_plane = ControlPlane::start().await;
    let mut client = ServerReflectionClient::new(control_plane.channel().await);
    let request = ServerReflectionRequest {
        message_request: Some(MessageRequest::ListServices(String::new())),
        ..Default::default()
    };
    let requests = tokio_stream::once(request);
    let mut answers = in_time("reflection", client.server_reflection_info(requests)).await.unwrap().into_inner();
    let answer = in_time("services", answers.message()).await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(services)) = answer.message_response else { panic!("{answer:?}") };
    let names: Vec<_> = services.service.into_iter().map(|service| service.name).collect();
    for name in ["veltrix.v1.ControlPlane", "veltrix.v1.RouteUpdates", "grpc.health.v1.Health"] {
        assert!(names.iter().any(|found| found == name), "{name}: {names:?}");
    }
    control_plane.stop().await;
}

#[tokio::test]
async fn a_map_to_start_with_is_version_1_and_is_not_applied_again() {
    let directory = tempfile::tempdir().unwrap();
    let config = |event_type| veltrix_control_plane::Config {
        store: veltrix_control_plane::StoreLocation::Directory(directory.path().into()),
        initial_route_map: Some(map(event_type)),
        ..Default::default()
    };
    let control_plane = ControlPlane::with(config("a")).await;
    assert_eq!(control_plane.operator().await.in_force().await, Some((1, map("a"))));
    control_plane.stop().await;
    let control_plane = ControlPlane::with(config("b")).await;
    assert_eq!(control_plane.operator().await.in_force().await, Some((1, map("a"))));
    control_plane.stop().await;

    let broken = veltrix_control_plane::Config { initial_route_map: Some(bytes::Bytes::new()), ..Default::default() };
    let error = ControlPlane::with(broken).await.ended().await.unwrap_err();
    assert!(veltrix_control_plane::with_sources(&error).contains("is empty (0 bytes)"));
}
