-- What a dead-letter topic has for a key is an aggregate like any other: its events are counted without a gap.
create table dead_letter_keys (
    topic         text not null,
    key           text not null,
    event_version bigint not null,
    primary key (topic, key)
);
