// SPDX-License-Identifier: Apache-2.0
#include "pkf_event.h"

#include <stdlib.h>
#include <unistd.h>

pkf_status pkf_events_init(pkf_events *events) {
    events->head = events->tail = NULL;
    pkf_status status = pkf_wakeup_open(&events->wakeup);
    if (status == PKF_OK) pthread_mutex_init(&events->lock, NULL);
    return status;
}

void pkf_record_errors_free(pkf_record_error *errors, int32_t count) {
    for (int32_t i = 0; i < count; i++) free(errors[i].message);
    free(errors);
}

pkf_event *pkf_event_new(pkf_event_kind kind) {
    pkf_event *event = calloc(1, sizeof *event);
    if (event == NULL) return NULL;
    event->kind = kind;
    event->node = event->partition = event->leader = event->leader_epoch = -1;
    event->offset = event->log_start = event->log_append_time = -1;
    return event;
}

void pkf_event_free(pkf_event *event) {
    if (event->batch) pkf_batch_unref(event->batch);
    pkf_record_errors_free(event->record_errors, event->record_error_count);
    free(event->text);
    free(event);
}

void pkf_events_push(pkf_events *events, pkf_event *event) {
    event->next = NULL;
    pthread_mutex_lock(&events->lock);
    if (events->tail)
        events->tail->next = event;
    else
        events->head = event;
    events->tail = event;
    pthread_mutex_unlock(&events->lock);
    pkf_wakeup_signal(&events->wakeup);
}

pkf_event *pkf_events_take(pkf_events *events) {
    pkf_wakeup_drain(&events->wakeup);
    pthread_mutex_lock(&events->lock);
    pkf_event *list = events->head;
    events->head = events->tail = NULL;
    pthread_mutex_unlock(&events->lock);
    return list;
}

void pkf_events_free(pkf_events *events) {
    for (pkf_event *event = pkf_events_take(events), *next; event; event = next) {
        next = event->next;
        pkf_event_free(event);
    }
    pkf_wakeup_close(&events->wakeup);
    pthread_mutex_destroy(&events->lock);
}

void pkf_commands_init(pkf_commands *commands) {
    commands->head = commands->tail = NULL;
    atomic_init(&commands->some, 0);
    pthread_mutex_init(&commands->lock, NULL);
}

pkf_command *pkf_command_new(pkf_command_kind kind) {
    pkf_command *command = calloc(1, sizeof *command);
    if (command == NULL) return NULL;
    command->kind = kind;
    command->fd = -1;
    return command;
}

void pkf_command_free(pkf_command *command) {
    if (command->batch) pkf_batch_unref(command->batch);
    if (command->fd >= 0) close(command->fd); // a connection nobody took over
    pkf_record_errors_free(command->record_errors, command->record_error_count);
    free(command->leaders);
    free(command->epochs);
    free(command->text);
    free(command);
}

void pkf_commands_push(pkf_commands *commands, pkf_command *command) {
    command->next = NULL;
    pthread_mutex_lock(&commands->lock);
    if (commands->tail)
        commands->tail->next = command;
    else
        commands->head = command;
    commands->tail = command;
    pthread_mutex_unlock(&commands->lock);
    atomic_store(&commands->some, 1);
}

pkf_command *pkf_commands_take(pkf_commands *commands) {
    if (!atomic_exchange(&commands->some, 0)) return NULL;
    pthread_mutex_lock(&commands->lock);
    pkf_command *list = commands->head;
    commands->head = commands->tail = NULL;
    pthread_mutex_unlock(&commands->lock);
    return list;
}

void pkf_commands_free(pkf_commands *commands) {
    atomic_store(&commands->some, 1);
    for (pkf_command *command = pkf_commands_take(commands), *next; command; command = next) {
        next = command->next;
        pkf_command_free(command);
    }
    pthread_mutex_destroy(&commands->lock);
}
