-- SPDX-License-Identifier: Apache-2.0
-- A record of every request, made of the spans that the Collector's ClickHouse exporter writes.
CREATE DATABASE IF NOT EXISTS telemetry;

-- What the exporter writes into; kept for a day, as the records below are what is asked.
CREATE TABLE IF NOT EXISTS telemetry.otel_traces (
    Timestamp DateTime64(9) CODEC(Delta, ZSTD(1)),
    TraceId String CODEC(ZSTD(1)),
    SpanId String CODEC(ZSTD(1)),
    ParentSpanId String CODEC(ZSTD(1)),
    TraceState String CODEC(ZSTD(1)),
    SpanName LowCardinality(String),
    SpanKind LowCardinality(String),
    ServiceName LowCardinality(String),
    ResourceAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    ScopeName String CODEC(ZSTD(1)),
    ScopeVersion String CODEC(ZSTD(1)),
    SpanAttributes Map(LowCardinality(String), String) CODEC(ZSTD(1)),
    Duration UInt64 CODEC(ZSTD(1)),
    StatusCode LowCardinality(String),
    StatusMessage String CODEC(ZSTD(1)),
    Events Nested (Timestamp DateTime64(9), Name LowCardinality(String), Attributes Map(LowCardinality(String), String)),
    Links Nested (TraceId String, SpanId String, TraceState String, Attributes Map(LowCardinality(String), String))
) ENGINE = MergeTree PARTITION BY toDate(Timestamp) ORDER BY (ServiceName, toDateTime(Timestamp))
TTL toDateTime(Timestamp) + INTERVAL 1 DAY SETTINGS ttl_only_drop_parts = 1;

CREATE TABLE IF NOT EXISTS telemetry.requests (
    time DateTime64(3) CODEC(Delta, ZSTD(1)),
    engine LowCardinality(String),
    model LowCardinality(String),
    tenant LowCardinality(String),
    trace_id FixedString(32) CODEC(ZSTD(1)),
    seconds Float32 CODEC(ZSTD(1)),
    first_token_seconds Nullable(Float32) CODEC(ZSTD(1)),
    input_tokens UInt32 CODEC(ZSTD(1)),
    cached_tokens Nullable(UInt32) CODEC(ZSTD(1)),
    output_tokens UInt32 CODEC(ZSTD(1)),
    joules Nullable(Float32) CODEC(ZSTD(1)),
    prefill_joules Nullable(Float32) CODEC(ZSTD(1)),
    decode_joules Nullable(Float32) CODEC(ZSTD(1)),
    gpu_seconds Nullable(Float32) CODEC(ZSTD(1)),
    gpus UInt16,
    method LowCardinality(String),
    failed Bool
) ENGINE = MergeTree PARTITION BY toYYYYMM(time) ORDER BY (engine, tenant, time)
TTL toDateTime(time) + INTERVAL 90 DAY;

-- Each node's span is a row of its own: a request of several nodes is the sum over its trace_id.
CREATE MATERIALIZED VIEW IF NOT EXISTS telemetry.requests_of_spans TO telemetry.requests AS
SELECT
    Timestamp AS time,
    ServiceName AS engine,
    coalesce(nullIf(SpanAttributes['gen_ai.response.model'], ''), SpanAttributes['gen_ai.request.model']) AS model,
    coalesce(
        nullIf(SpanAttributes['tenant.id'], ''), nullIf(ResourceAttributes['tenant.id'], ''), SpanAttributes['enduser.id']
    ) AS tenant,
    TraceId AS trace_id,
    Duration / 1e9 AS seconds,
    toFloat32OrNull(SpanAttributes['gen_ai.latency.time_to_first_token']) AS first_token_seconds,
    toUInt32OrZero(coalesce(
        nullIf(SpanAttributes['gen_ai.usage.prompt_tokens'], ''), SpanAttributes['gen_ai.usage.input_tokens']
    )) AS input_tokens,
    toUInt32OrNull(SpanAttributes['gen_ai.usage.cache_read.input_tokens']) AS cached_tokens,
    toUInt32OrZero(coalesce(
        nullIf(SpanAttributes['gen_ai.usage.completion_tokens'], ''), SpanAttributes['gen_ai.usage.output_tokens']
    )) AS output_tokens,
    toFloat32OrNull(SpanAttributes['joulespan.energy']) AS joules,
    toFloat32OrNull(SpanAttributes['joulespan.energy.prefill']) AS prefill_joules,
    toFloat32OrNull(SpanAttributes['joulespan.energy.decode']) AS decode_joules,
    toFloat32OrNull(SpanAttributes['joulespan.gpu.seconds']) AS gpu_seconds,
    JSONLength(SpanAttributes['joulespan.gpu.ids']) AS gpus,
    SpanAttributes['joulespan.attribution.method'] AS method,
    StatusCode = 'Error' AS failed
FROM telemetry.otel_traces
WHERE SpanAttributes['joulespan.attribution.method'] != '';

-- What a tenant took, by day:
--   SELECT toDate(time) AS day, tenant, count(), sum(joules) / 3.6e6 AS kwh, sum(gpu_seconds) / 3600 AS gpu_hours,
--          sum(joules) / sum(output_tokens) AS joules_per_output_token
--   FROM telemetry.requests GROUP BY day, tenant ORDER BY day, kwh DESC;
