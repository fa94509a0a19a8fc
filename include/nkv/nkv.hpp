// SPDX-License-Identifier: BSD-3-Clause
#pragma once

/// @file nkv.hpp
/// The whole portable core: the bytes of the NVMe Key-Value command set, the queues, and the client over them. Needs
/// the freestanding part of the standard library and nothing else.

#include <nkv/base/atomic.hpp>
#include <nkv/base/bits.hpp>
#include <nkv/base/config.hpp>
#include <nkv/base/deadline.hpp>
#include <nkv/base/endian.hpp>
#include <nkv/base/result.hpp>
#include <nkv/base/scope.hpp>
#include <nkv/base/span.hpp>
#include <nkv/base/status.hpp>
#include <nkv/client/batch.hpp>
#include <nkv/client/encode.hpp>
#include <nkv/client/key_walk.hpp>
#include <nkv/client/namespace_ref.hpp>
#include <nkv/client/operation.hpp>
#include <nkv/client/outcome.hpp>
#include <nkv/client/plain_path.hpp>
#include <nkv/command/admin.hpp>
#include <nkv/command/command_key.hpp>
#include <nkv/command/data_pointer_builder.hpp>
#include <nkv/command/execute.hpp>
#include <nkv/command/exist.hpp>
#include <nkv/command/list.hpp>
#include <nkv/command/list_memory.hpp>
#include <nkv/command/remove.hpp>
#include <nkv/command/retrieve.hpp>
#include <nkv/command/store.hpp>
#include <nkv/kv/content_hash.hpp>
#include <nkv/kv/key.hpp>
#include <nkv/kv/key_encoding.hpp>
#include <nkv/kv/limits.hpp>
#include <nkv/kv/lineage_hash.hpp>
#include <nkv/kv/list_padding.hpp>
#include <nkv/kv/list_page.hpp>
#include <nkv/kv/namespace_profile.hpp>
#include <nkv/kv/quirks.hpp>
#include <nkv/kv/text_view.hpp>
#include <nkv/kv/value_ref.hpp>
#include <nkv/queue/cid_table.hpp>
#include <nkv/queue/completion_queue.hpp>
#include <nkv/queue/doorbell.hpp>
#include <nkv/queue/queue_control.hpp>
#include <nkv/queue/queue_pair_ref.hpp>
#include <nkv/queue/queue_shape.hpp>
#include <nkv/queue/scratch.hpp>
#include <nkv/queue/sharing.hpp>
#include <nkv/queue/submission_queue.hpp>
#include <nkv/queue/ticket.hpp>
#include <nkv/spec/cqe.hpp>
#include <nkv/spec/data_pointer.hpp>
#include <nkv/spec/identify.hpp>
#include <nkv/spec/opcode.hpp>
#include <nkv/spec/prp.hpp>
#include <nkv/spec/registers.hpp>
#include <nkv/spec/sgl.hpp>
#include <nkv/spec/sqe.hpp>
#include <nkv/spec/status_code.hpp>
