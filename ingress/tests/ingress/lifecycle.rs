//! Starting and stopping.

use std::sync::Arc;
use std::time::Duration;

use pelton_env::SystemClock;
use pelton_ingress::{Ingress, OnAppend, Options, ServeError};
use tokio::net::TcpStream;

use crate::support::{FakeLog, GUARD, HEAD, Producer, ask, event, soon, start};

#[tokio::test]
async fn shutdown_answers_what_was_read_and_closes_the_rest() {
    let (log, ingress) = start();
    let address = ingress.local_addr();
    let mut idle = Producer::connect(address).await;
    assert_eq!(idle.ask(event("x")).await.status, 202);
    let silent = Producer::connect(address).await;
    log.open(false);
    let mut waiting = Producer::connect(address).await;
    waiting.send(event("x")).await;
    log.called(2).await;
    let mut half = Producer::connect(address).await;
    half.send(format!("{HEAD}expect: 100-continue\r\ncontent-length: 4\r\n\r\n")).await;
    assert_eq!(half.answer().await.status, 100, "its head was read");

    let shutdown = tokio::spawn(ingress.shutdown(GUARD));
    idle.closed().await;
    silent.closed().await;
    assert!(!shutdown.is_finished());
    assert!(TcpStream::connect(address).await.is_err(), "nothing new is accepted");
    log.open(true);
    let answer = waiting.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (202, Some("close")));
    waiting.closed().await;
    assert_eq!(half.ask("data").await.status, 202);
    half.closed().await;
    assert_eq!(soon("the end", shutdown).await.unwrap(), 0);
    assert_eq!(log.calls().len(), 3);
}

#[tokio::test]
async fn what_is_not_done_by_the_deadline_is_cut_and_counted() {
    let (log, ingress) = start();
    log.open(false);
    let mut stuck = Producer::connect(ingress.local_addr()).await;
    stuck.send(event("x")).await;
    log.called(1).await;
    assert_eq!(soon("the end", ingress.shutdown(Duration::from_millis(20))).await, 1);
    assert!(stuck.try_answer().await.is_none());
}

#[tokio::test]
async fn dropping_the_handle_cuts() {
    let (_log, ingress) = start();
    let mut producer = Producer::connect(ingress.local_addr()).await;
    assert_eq!(producer.ask(event("x")).await.status, 202);
    drop(ingress);
    producer.closed().await;
}

#[tokio::test]
async fn several_listeners_serve_one_ingress() {
    let log = FakeLog::new(&["default/default"]);
    let listeners = (0..3).map(|_| Ingress::bind("127.0.0.1:0".parse().unwrap()).unwrap()).collect();
    let ingress = Ingress::serve(listeners, log.clone(), None, Options::default(), Arc::new(SystemClock)).unwrap();
    for address in ingress.local_addrs() {
        assert_eq!(Producer::connect(*address).await.ask(event("x")).await.status, 202);
    }
    assert_eq!(ask(&ingress, event("x")).await.status, 202);
    assert_eq!(log.calls().len(), 4);
}

#[tokio::test]
async fn options_that_do_not_fit_start_nothing() {
    let log = FakeLog::new(&[]);
    let listener = Ingress::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let options = Options { max_event_bytes: 1, ..Options::default() };
    let refused = Ingress::serve(vec![listener], log, None, options, Arc::new(SystemClock));
    assert!(matches!(refused, Err(ServeError::Options(_))));
}

/// Before they are stored, so that what they need can begin meanwhile.
#[tokio::test]
async fn events_on_their_way_are_told_of_and_what_is_refused_is_not() {
    let log = FakeLog::new(&["default/default"]);
    let told = tokio::sync::watch::Sender::new(Vec::new());
    let on_append: OnAppend = {
        let told = told.clone();
        Arc::new(move |broker, events| told.send_modify(|told| told.push((broker.to_string(), events.len()))))
    };
    let listener = Ingress::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let (options, clock) = (Options::default(), Arc::new(SystemClock));
    let ingress = Ingress::serve(vec![listener], log.clone(), Some(on_append), options, clock).unwrap();
    assert_eq!(ask(&ingress, event("x").replace("ce-type", "ce-other")).await.status, 400);
    assert!(told.borrow().is_empty());
    log.open(false);
    let mut waiting = Producer::connect(ingress.local_addr()).await;
    waiting.send(event("x")).await;
    let mut heard = told.subscribe();
    soon("an event on its way", heard.wait_for(|told| *told == [("default/default".to_owned(), 1)])).await.unwrap();
    log.open(true);
    assert_eq!(waiting.answer().await.status, 202);
}
