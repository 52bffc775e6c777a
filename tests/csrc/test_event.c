// SPDX-License-Identifier: Apache-2.0
#include "rig.h"

#include <fcntl.h>

static void events_come_in_order_and_wake(void) {
    pkf_events events;
    NEED(pkf_events_init(&events) == PKF_OK);
    struct pollfd p = {events.wakeup.read_fd, POLLIN, 0};
    CHECK(pkf_events_take(&events) == NULL);
    CHECK_INT(poll(&p, 1, 0), 0);
    for (int i = 0; i < 3; i++) {
        pkf_event *event = pkf_event_new(PKF_EVENT_NODE);
        NEED(event);
        CHECK(event->node == -1 && event->partition == -1 && event->leader == -1 && event->leader_epoch == -1);
        CHECK(event->offset == -1 && event->log_start == -1 && event->log_append_time == -1);
        event->code = i;
        event->text = strdup("host");
        pkf_events_push(&events, event);
    }
    CHECK_INT(poll(&p, 1, 0), 1);
    pkf_event *event = pkf_events_take(&events);
    CHECK_INT(poll(&p, 1, 0), 0);
    for (int i = 0; i < 3; i++) {
        NEED(event && event->code == i);
        pkf_event *next = event->next;
        pkf_event_free(event);
        event = next;
    }
    CHECK(event == NULL && pkf_events_take(&events) == NULL);
    pkf_events_push(&events, pkf_event_new(PKF_EVENT_GAP)); // freed with the queue
    pkf_events_free(&events);
}

static void commands_come_in_order(void) {
    pkf_commands commands;
    pkf_commands_init(&commands);
    CHECK(pkf_commands_take(&commands) == NULL);
    for (int i = 0; i < 3; i++) {
        pkf_command *command = pkf_command_new(PKF_COMMAND_FORGET);
        NEED(command && command->fd == -1);
        command->node = i;
        pkf_commands_push(&commands, command);
    }
    CHECK_INT(atomic_load(&commands.some), 1);
    pkf_command *command = pkf_commands_take(&commands);
    for (int i = 0; i < 3; i++) {
        NEED(command && command->node == i);
        pkf_command *next = command->next;
        pkf_command_free(command);
        command = next;
    }
    CHECK(command == NULL && pkf_commands_take(&commands) == NULL);
    pkf_commands_free(&commands);
}

// Everything a command or an event carries goes with it: batches, descriptors, texts, arrays.
static void what_they_carry_goes_with_them(void) {
    rig r;
    int ends[2];
    pkf_accum_config accum = RIG_ACCUM;
    pkf_wire_config wire = RIG_WIRE;
    rig_open(&r, &accum, &wire, 1);
    NEED(pipe(ends) == 0);
    pkf_batch *batch = pkf_batch_new(r.accum, rig_part(&r, 0), NULL, 0);
    pkf_event *event = pkf_event_new(PKF_EVENT_PARKED);
    pkf_command *command = pkf_command_new(PKF_COMMAND_CONNECT);
    NEED(batch && event && command);
    pkf_batch_ref(batch);
    event->batch = command->batch = batch;
    event->text = strdup("a");
    command->text = strdup("b");
    command->leaders = calloc(3, sizeof(int32_t));
    command->epochs = calloc(3, sizeof(int32_t));
    command->fd = ends[0];
    event->record_errors = calloc(2, sizeof(pkf_record_error));
    command->record_errors = calloc(2, sizeof(pkf_record_error));
    NEED(event->record_errors && command->record_errors);
    event->record_error_count = command->record_error_count = 2;
    event->record_errors[1].message = strdup("c");
    command->record_errors[0].message = strdup("d");
    pkf_event_free(event);
    CHECK_INT(atomic_load(&r.accum->refs), 3);
    pkf_command_free(command);
    CHECK_INT(atomic_load(&r.accum->refs), 2); // the batch is gone, the wire is not
    CHECK_INT(fcntl(ends[0], F_GETFD), -1);
    close(ends[1]);
    rig_close(&r);
}

// ---- many threads ----

enum { PUSHERS = 4, EACH = 3000 };
static pkf_events events;

static void *push_events(void *argument) {
    for (int i = 0; i < EACH; i++) {
        pkf_event *event = pkf_event_new(PKF_EVENT_GAP);
        NEED(event);
        event->node = (int32_t)(intptr_t)argument;
        event->code = i;
        pkf_events_push(&events, event);
    }
    return NULL;
}

static void nothing_is_lost_or_out_of_order(void) {
    pthread_t threads[PUSHERS];
    int next[PUSHERS] = {0}, total = 0;
    NEED(pkf_events_init(&events) == PKF_OK);
    for (int i = 0; i < PUSHERS; i++) NEED(pthread_create(&threads[i], NULL, push_events, (void *)(intptr_t)i) == 0);
    while (total < PUSHERS * EACH) {
        struct pollfd p = {events.wakeup.read_fd, POLLIN, 0};
        NEED(poll(&p, 1, PEER_WAIT_MS) == 1); // a wake-up that is lost ends here
        for (pkf_event *event = pkf_events_take(&events), *following; event; event = following) {
            following = event->next;
            CHECK_INT(event->code, next[event->node]++);
            total++;
            pkf_event_free(event);
        }
    }
    for (int i = 0; i < PUSHERS; i++) pthread_join(threads[i], NULL);
    pkf_events_free(&events);
}

int main(void) {
    events_come_in_order_and_wake();
    commands_come_in_order();
    what_they_carry_goes_with_them();
    nothing_is_lost_or_out_of_order();
    return FINISH();
}
