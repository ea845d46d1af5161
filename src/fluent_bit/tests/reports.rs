//! What people read, for six whole configurations.

use super::{files, report};

#[test]
fn a_first_attempt_by_hand_loses_at_every_turn() {
    let text = r##"[INPUT]
    Name forward
    Mem_Buf_Limit 25MB
[OUTPUT]
    Name  http
    Match *
    Host  127.0.0.1
    Port  8080
"##;
    let told = r##"lost    first.conf:3  [INPUT] forward: Mem_Buf_Limit 25MB
        At that many bytes the input pauses, and what is sent to it meanwhile is lost, for every output.
        write:  storage.type filesystem
        write in [SERVICE]:  storage.path /var/lib/fluent-bit

lost    first.conf:4  [OUTPUT] http: no URI (the default is /)
        Answered 404: Fluent Bit 3.1 and later drop every chunk at once, older ones after their retries.
        write:  URI /ingest

lost    first.conf:4  [OUTPUT] http: no Retry_Limit (the default is 1)
        One retry, 6 to 11 s after the first try: any longer trouble drops the chunk.
        write:  Retry_Limit 2

note    first.conf:4  [OUTPUT] http: no net.io_timeout (no limit)
        Before 4.0.9 a receiver that vanishes without a word is waited for without end (the key is known from 2.0 on).
        write:  net.io_timeout 60s

note    first.conf:4  [OUTPUT] http: no header_tag
        The tag does not come along; with FireLens on EC2 only it has the container's name.
        write:  header_tag X-Tag

3 lost, 2 notes"##;
    assert_eq!(report("first.conf", &files(&[("first.conf", text)])), told);
}

#[test]
fn an_output_beside_another_one_hurts_it_with_endless_retries() {
    let text = r##"[SERVICE]
    Flush 1
    HTTP_Server On
    Grace 30
[INPUT]
    Name tail
    Path /var/log/*.log
    Tag app.*
    DB /var/lib/fluent-bit/tail.db
[FILTER]
    Name rewrite_tag
    Match app.*
    Rule $log ERROR app.error true
[OUTPUT]
    Name es
    Match *
[OUTPUT]
    Name http
    Alias ember
    Match *
    Port 8080
    URI /ingest
    Format json_lines
    header_tag X-Tag
    Header Accept application/json
    Retry_Limit no_limits
    net.io_timeout 60s
"##;
    let told = r##"doubled beside.conf:13  [FILTER] rewrite_tag: Rule $log ERROR app.error true
        KEEP true leaves the line under its old tag as well, and our output takes both: it is counted twice.
        Write false at the rule's end, or a Match that takes one of the two tags.

doubled beside.conf:25  [OUTPUT] http (ember): Header Accept application/json
        Fluent Bit sends no Accept of its own; who does is taken for a person, and a chunk that comes again counts again.
        take this line out

hurts   beside.conf:26  [OUTPUT] http (ember): Retry_Limit no_limits
        While the receiver is down, waiting chunks fill the memory that other outputs share: the input pauses and they lose lines or wait, too.
        write:  Retry_Limit 1
        or keep waiting chunks on disk:
        write in [INPUT]:  storage.type filesystem
        write in [SERVICE]:  storage.path /var/lib/fluent-bit

slowed  beside.conf:26  [OUTPUT] http (ember): Retry_Limit no_limits
        After an outage lines may come up to 33 min late: retries move apart to 2001 s (scheduler.cap is 2000 s unless set).
        write in [SERVICE]:  scheduler.cap 30
        scheduler.* is for all outputs: others retry sooner, too.

2 doubled, 1 hurts, 1 slowed"##;
    assert_eq!(report("beside.conf", &files(&[("beside.conf", text)])), told);
}

#[test]
fn an_aggregator_with_a_disk_costs_nothing() {
    let text = r##"[SERVICE]
    Flush 1
    HTTP_Server On
    storage.path /var/lib/fluent-bit
    scheduler.cap 30
[INPUT]
    Name forward
    storage.type filesystem
[OUTPUT]
    Name http
    Match *
    Port 8080
    URI /ingest
    Format json_lines
    header_tag X-Tag
    Retry_Limit no_limits
    storage.total_limit_size 5G
    net.io_timeout 60s
"##;
    let told = r##"note    aggregator.conf:17  [OUTPUT] http: storage.total_limit_size 5G
        Beyond it the oldest chunks are deleted, without a word in the log: watch how full it is.

nothing here loses, doubles or slows lines; 1 note"##;
    assert_eq!(report("aggregator.conf", &files(&[("aggregator.conf", text)])), told);
}

#[test]
fn yaml_is_answered_in_yaml() {
    let text = r##"service:
  flush: 30
pipeline:
  inputs:
    - name: tail
      path: /var/log/app.log
      read_from_head: on
      storage.type: filesystem
  outputs:
    - name: http
      match: '*'
      port: 8080
      uri: /ingest
      format: gelf
      compress: brotli
      retryLimit: 2
      header_tag: X-Tag
"##;
    let told = r##"lost    pipeline.yaml:8  [INPUT] tail: storage.type filesystem
        Without storage.path Fluent Bit does not start.
        write in service:  storage.path: /var/lib/fluent-bit

lost    pipeline.yaml:14  [OUTPUT] http: format gelf
        Without gelf_short_message_key one record that has no `short_message` drops its whole chunk.
        write:  format: json_lines

lost    pipeline.yaml:15  [OUTPUT] http: compress brotli
        Not known: Fluent Bit 4.0 and later do not start, older ones send plain.
        write:  compress: zstd

doubled pipeline.yaml:5  [INPUT] tail: no DB
        After a restart of Fluent Bit whole files are read and counted again.
        write:  db: /var/lib/fluent-bit/tail.db

slowed  pipeline.yaml:2  [SERVICE]: flush 30
        Lines leave every 30 s only, in bodies that much larger; so alarms are that late.
        write:  flush: 1

note    pipeline.yaml:1  [SERVICE]: no HTTP_Server (off)
        What Fluent Bit drops is in its own figures only: fluentbit_output_dropped_records_total cannot be scraped.
        write:  http_server: On

note    pipeline.yaml:10  [OUTPUT] http: no net.io_timeout (no limit)
        Before 4.0.9 a receiver that vanishes without a word is waited for without end (the key is known from 2.0 on).
        write:  net.io_timeout: 60s

note    pipeline.yaml:16  [OUTPUT] http: retry_limit 2
        Bridges 12 to 32 s of trouble; what is down for longer misses those lines.
        To lose nothing, send through a Fluent Bit of its own that keeps chunks on disk and retries without limit.

3 lost, 1 doubled, 1 slowed, 3 notes"##;
    assert_eq!(report("pipeline.yaml", &files(&[("pipeline.yaml", text)])), told);
}

#[test]
fn options_of_two_containers_are_told_once() {
    let text = r##"{
  "family": "shop",
  "containerDefinitions": [
    {
      "name": "log_router",
      "image": "public.ecr.aws/aws-observability/aws-for-fluent-bit:2.32.0",
      "memory": 100,
      "firelensConfiguration": {"type": "fluentbit", "options": {"enable-ecs-log-metadata": "false"}}
    },
    {
      "name": "web",
      "logConfiguration": {"logDriver": "awsfirelens", "options": {
        "Name": "http",
        "Host": "emberwatch.internal",
        "Port": "8080",
        "URI": "/ingest",
        "Retry_Limit": "no_limits",
        "net.io_timeout": "10",
        "http_User": "web",
        "http_Passwd": "hunter2-hunter2"
      }}
    },
    {
      "name": "worker",
      "logConfiguration": {"logDriver": "awsfirelens", "options": {
        "Name": "http",
        "Host": "emberwatch.internal",
        "Port": "8080",
        "URI": "/ingest",
        "Retry_Limit": "no_limits"
      }}
    }
  ]
}
"##;
    let told = r##"lost    task.json:18  [OUTPUT] http: net.io_timeout 10
        From 2.0 on; with aws-for-fluent-bit 2.x (1.9.10) the router does not start.
        take this line out

hurts   task.json:17, task.json:30  [OUTPUT] http: Retry_Limit no_limits
        While the receiver is down, waiting chunks fill the log router's memory: its input pauses and every container loses lines for every output, or the router is killed and the task with it.
        write:  "Retry_Limit": "1"

slowed  task.json:17, task.json:30  [OUTPUT] http: Retry_Limit no_limits
        After an outage lines may come up to 33 min late: retries move apart to 2001 s (scheduler.cap is 2000 s unless set).
        write:  "Retry_Limit": "1"

slowed  task.json:18  [OUTPUT] http: net.io_timeout 10
        Shorter than the 15 s for which a busy receiver holds a request: it is sent again, each time a retry less (and still counted once).
        take this line out

note    task.json:8  firelensConfiguration: enable-ecs-log-metadata false
        Lines do not say which cluster and service they are from; watches that group by service see one.
        write:  "enable-ecs-log-metadata": "true"

note    task.json:12, task.json:25  [OUTPUT] http: no header_tag
        The tag does not come along; with FireLens on EC2 only it has the container's name.
        write:  "header_tag": "X-Tag"

note    task.json:14  [OUTPUT] http: Host emberwatch.internal
        The token goes there in plain HTTP, readable on the way.
        Use `tls on` and a receiver or balancer with a certificate, or keep this network private.

note    task.json:14, task.json:27  [OUTPUT] http: Host emberwatch.internal
        By the configuration this check was given, the receiver listens on 127.0.0.1:8080 and only this machine reaches it.

note    task.json:20  [OUTPUT] http: http_Passwd ***
        The secret stands in the file, for everyone who can read it.
        Move it to secretOptions: {"name": "http_Passwd", "valueFrom": "arn:..."}

1 lost, 1 hurts, 2 slowed, 5 notes"##;
    assert_eq!(report("task.json", &files(&[("task.json", text)])), told);
}

#[test]
fn a_config_map_is_told_with_the_lines_of_its_file() {
    let text = r##"apiVersion: v1
kind: ConfigMap
metadata:
  name: fluent-bit
data:
  fluent-bit.conf: |
    [SERVICE]
        HTTP_Server On
        Grace 30
    [INPUT]
        Name tail
        Tag kube.*
        Path /var/log/containers/*.log
        DB /var/log/flb.db
        Mem_Buf_Limit 5MB
    [FILTER]
        Name kubernetes
        Match kube.*
    [FILTER]
        Name parser
        Match kube.*
        Key_Name log
        Parser json
    @INCLUDE output-*.conf
  output-ember.conf: |
    [OUTPUT]
        Name http
        Match kube.*
        Host emberwatch.logging
        Port 8080
        URI /logs
        Retry_Limits 2
"##;
    let told = r##"lost    configmap.yaml:19  [FILTER] parser: no Reserve_Data (the default is off)
        Every key but the parsed one is dropped, also those that say which service a line is from.
        write:  Reserve_Data On

lost    configmap.yaml:26  [OUTPUT] http: no Retry_Limit (the default is 1)
        One retry, 6 to 11 s after the first try: any longer trouble drops the chunk.
        write:  Retry_Limit 2

lost    configmap.yaml:31  [OUTPUT] http: URI /logs
        Answered 404: Fluent Bit 3.1 and later drop every chunk at once, older ones after their retries.
        write:  URI /ingest

lost    configmap.yaml:32  [OUTPUT] http: Retry_Limits 2
        The http output of 5.1.1 has no such key, and with an unknown one Fluent Bit does not start.
        write:  retry_limit 2

slowed  configmap.yaml:15  [INPUT] tail: Mem_Buf_Limit 5MB
        Also the most that is read per flush: a burst beyond it comes late, and a file rotated meanwhile is lost.
        write:  Mem_Buf_Limit 50M

note    configmap.yaml:26  [OUTPUT] http: no net.io_timeout (no limit)
        Before 4.0.9 a receiver that vanishes without a word is waited for without end (the key is known from 2.0 on).
        write:  net.io_timeout 60s

note    configmap.yaml:26  [OUTPUT] http: no header_tag
        The tag does not come along; with FireLens on EC2 only it has the container's name.
        write:  header_tag X-Tag

note    configmap.yaml:29  [OUTPUT] http: Host emberwatch.logging
        By the configuration this check was given, the receiver listens on 127.0.0.1:8080 and only this machine reaches it.

4 lost, 1 slowed, 3 notes"##;
    assert_eq!(report("configmap.yaml", &files(&[("configmap.yaml", text)])), told);
}
