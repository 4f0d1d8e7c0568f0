#include "io/scenario_fields.hpp"

namespace kisim {

namespace {

using Shape = Nested::Shape;

template <class F>
Nested one(F declare_entry, std::string shorthand = "") {
  return {Shape::One, [=](const std::string&, const SourceMark&) { return declare_entry(); }, std::move(shorthand)};
}

template <class F>
Nested by_name(F declare_entry, std::string shorthand = "") {
  return {Shape::ByName, declare_entry, std::move(shorthand)};
}

Fields declare(ModelSpec::Latency& latency) {
  Fields f;
  f.add("base", &latency.base, "time per batch or iteration").in(Unit::Seconds);
  f.add("perItem", &latency.per_item, "time per request in the batch").in(Unit::Seconds);
  f.add("prefillBase", &latency.prefill_base, "LLM: time per prompt").in(Unit::Seconds);
  f.add("prefillPerToken", &latency.prefill_per_token, "LLM: time per prompt token").in(Unit::Seconds);
  f.add("table", &latency.table, "batch: samples in the batch -> time, instead of base and perItem").in(Unit::Seconds);
  f.add("coefficients", &latency.coefficients, "file of `kisim calibrate` that holds the table, or the line of an LLM");
  f.add("key", &latency.key, "its entry there; may be left out where there is one");
  f.add("factor", &latency.factor, "batch: of the table's times, drawn per batch").above(0);
  f.add("host", &latency.host, "batch: time of a batch that does not depend on how much of a GPU there is")
      .in(Unit::Seconds);
  f.add("compute", &latency.compute,
        "batch: share of a whole GPU's SMs that it uses, and of its peak FLOP/s for its power")
      .min(0)
      .max(1);
  f.add("bandwidth", &latency.bandwidth,
        "batch: share of a whole GPU's memory bandwidth that it uses, for its power too")
      .min(0)
      .max(1);
  return f;
}

Fields declare(QueuePolicySpec& policy) {
  Fields f;
  f.add("timeoutAction", &policy.timeout_action, "what happens to a request that has waited for too long")
      .one_of({"reject", "delay"});
  f.add("defaultTimeout", &policy.default_timeout, "longest wait in the queue; 0 = none");
  f.add("allowTimeoutOverride", &policy.allow_timeout_override, "whether a request may ask for a shorter one");
  f.add("maxQueueSize", &policy.max_queue_size, "requests; 0 = no limit");
  return f;
}

// What a batch server and each model of it have in common.
void declare_batch_model(BatchModelSpec& model, Fields& f) {
  f.add("maxBatchSize", &model.max_batch_size, "batch engine: samples in a batch").min(1);
  f.add("instances", &model.instances, "batch engine: batches at a time").min(1).max(1024);
  f.add("preferredBatchSizes", &model.preferred_batch_sizes, "batch engine: sizes sent without delay").min(1);
  f.add("maxQueueDelay", &model.max_queue_delay, "batch engine: longest wait for a larger batch");
  f.add("prefetchedBatches", &model.prefetched_batches,
        "batch engine: formed before an instance is free; Triton forms up to twice the instances")
      .max(2048);
  f.add("priorityLevels", &model.priority_levels, "batch engine: level 1 is served first").min(1).max(1024);
  f.add("defaultPriorityLevel", &model.default_priority_level, "batch engine: of requests that name none").min(1);
  f.add("defaultQueuePolicy", one([&model] { return declare(model.default_queue_policy); }),
        "batch engine: of every priority level");
  f.add("priorityQueuePolicy", by_name([&model](const std::string& level, const SourceMark&) {
          return declare(model.priority_queue_policy[level] = QueuePolicySpec());
        }),
        "batch engine: of single priority levels instead");
  f.add("latency", one([&model] { return declare(*(model.latency = BatchModelSpec::Latency())); }),
        "law that replaces the catalogue's: base + perItem per sample of the batch, or a table");
  f.add("latencyOn", by_name([&model](const std::string& gpu, const SourceMark&) {
          return declare(model.latency_on[gpu] = BatchModelSpec::Latency());
        }),
        "batch engine: laws on single GPU models instead");
  f.add("memory", one([&model] {
          Fields memory;
          memory.add("weights", &model.weights_bytes, "shared by its instances").in(Unit::Bytes);
          memory.add("perInstance", &model.instance_bytes, "context, workspace and activations").in(Unit::Bytes);
          return memory;
        }),
        "batch engine: of the GPU");
}

Fields declare_served(BatchModelSpec& model) {
  Fields f;
  declare_batch_model(model, f);
  f.add("steps", &model.steps, "an ensemble: models of this server that a request goes through in turn");
  return f;
}

Fields declare(ModelSpec::Iterations& iterations) {
  Fields f;
  f.add("gpu", &iterations.gpu, "GPU that they were measured on; others are estimated from it");
  f.add("stepMs", &iterations.step_ms, "milliseconds per iteration").min(0);
  f.add("layerUs", &iterations.layer_us, "microseconds per layer of a hidden size of 4096").min(0);
  f.add("weightFactor", &iterations.weight_factor, "times reading all weights at the peak").min(0);
  f.add("kvFactor", &iterations.kv_factor, "times reading the KV cache at the peak").min(0);
  f.add("computeFactor", &iterations.compute_factor, "times computing the tokens that decode at the peak").min(0);
  f.add("samplingUs", &iterations.sampling_us, "microseconds per sequence and 1000 tokens of vocabulary").min(0);
  f.add("allReduceFactor", &iterations.all_reduce_factor, "times the ideal all-reduces").min(0);
  f.add("prefillFactor", &iterations.prefill_factor, "times computing a prompt by the engine's prefillMfu").min(0);
  f.add("maxSequences", &iterations.max_sequences, "of the measurements; beyond it is told; 0 = not known").min(0);
  f.add("maxContext", &iterations.max_context, "tokens, likewise").min(0);
  f.add("coefficients", &iterations.coefficients, "file of `kisim calibrate` that holds all of these");
  f.add("key", &iterations.key, "its entry there; may be left out where there is one");
  return f;
}

Fields declare(ModelSpec& model) {
  Fields f;
  f.add("selector", &model.selector, "labels of the pods that serve so; without it, pods annotated kisim.dev/model");
  f.add("engine", &model.engine, "serving engine, see `kisim list engines`");
  f.add("model", &model.model, "language model, see `kisim list models`; none for batch engines");
  f.add("gpu", &model.gpu, "GPU model, see `kisim list gpus`");
  f.add("detail", &model.detail,
        "how closely an LLM engine is followed; fluid, of batch engines too: queues as rates, no single request")
      .one_of({"fluid", "linear", "iteration", "tables"});
  f.add("operatorProfile", &model.operator_profile,
        "LLM, detail tables: directory of an operator profile of the model on the GPU that it runs on");
  f.add("tensorParallel", &model.tensor_parallel, "GPUs that one replica splits the model over").min(1).max(1024);
  f.add("dataParallel", &model.data_parallel,
        "copies of an LLM's attention in one replica, each on tensorParallel GPUs; its experts are split over all of "
        "them")
      .min(1)
      .max(1024);
  f.add("pipelineParallel", &model.pipeline_parallel,
        "LLM: stages that its layers are split over, each on tensorParallel GPUs")
      .min(1)
      .max(128);
  f.add("expertParallel", &model.expert_parallel,
        "LLM with experts: each GPU has whole experts instead of a part of each");
  f.add("role", &model.role,
        "LLM: prefill replicas compute prompts for the others of the same Service, which read their KV and answer; "
        "decode: "
        "there must be such")
      .one_of({"both", "prefill", "decode"});
  f.add("maxLocalPrefillLength", &model.max_local_prefill_length,
        "LLM, behind prefill replicas: prompts of at most so many tokens that no prefix cache has are computed here");
  f.add("kvTransfer", one([&model] {
          KvTransferModel& transfer = model.kv_transfer;
          Fields kv;
          kv.add("networkGBs", &transfer.network_gbs, "gigabytes per second, of each GPU to another node, one way")
              .above(0)
              .no_distribution();
          kv.add("efficiency", &transfer.efficiency, "share of the network's and the GPUs' links that is reached")
              .above(0)
              .max(1)
              .no_distribution();
          kv.add("networkLatency", &transfer.network_latency, "of a transfer to another node");
          kv.add("linkLatency", &transfer.link_latency, "of a transfer within a node");
          return kv;
        }),
        "LLM: how a decode replica reads KV");
  f.add("schedulingPolicy", &model.scheduling_policy,
        "LLM: first come first served, or tasks of lower priority numbers first, whose sequences others make room for")
      .one_of({"fcfs", "priority"});
  f.add("speculative", one([&model] {
          ModelSpec::Speculative& speculative = *(model.speculative = ModelSpec::Speculative());
          Fields draft;
          draft.add("method", &speculative.method, "what drafts: the text so far, one layer, or a model")
              .one_of({"ngram", "eagle", "mtp", "draft_model"});
          draft.add("model", &speculative.model, "draft_model: which, see `kisim list models`");
          draft.add("tokens", &speculative.tokens, "drafted per sequence and iteration; by n-grams they cost nothing")
              .min(1)
              .max(64)
              .required();
          draft
              .add("acceptance", &speculative.acceptance,
                   "probability that a draft is accepted after accepted ones, or by place, with all before it: as "
                   "measured, for it "
                   "decides everything")
              .min(0)
              .max(1)
              .no_distribution()
              .required();
          return draft;
        }),
        "LLM: tokens are drafted and verified together");
  f.add("lora", one([&model] {
          LoraModel& lora = *(model.lora = LoraModel());
          lora.max_loras = 1;
          Fields adapters;
          adapters.add("maxLoras", &lora.max_loras, "different ones in an iteration").min(1).max(1024);
          adapters.add("maxCpuLoras", &lora.max_cpu_loras, "in the host's memory; 0 = as many as maxLoras").max(1e6);
          adapters.add("rank", &lora.rank, "of the adapters").min(1).max(512);
          adapters.add("diskMBs", &lora.disk_mbs, "megabytes read per second, of those that the host does not have")
              .above(0)
              .no_distribution();
          return adapters;
        }),
        "LLM: it serves LoRA adapters, which traffic asks for");
  f.add("iterations", one([&model] { return declare(*(model.iterations = ModelSpec::Iterations())); }),
        "LLM: coefficients of an iteration's time, instead of the catalogue's");
  f.add("maxNumSeqs", &model.max_num_seqs, "LLM: sequences in an iteration; 0 = the engine's default");
  f.add("maxNumBatchedTokens", &model.max_num_batched_tokens, "LLM: tokens in an iteration; 0 = the engine's default");
  f.add("blockSize", &model.block_size, "LLM: tokens in a KV block; 0 = the engine's default");
  f.add("longPrefillTokenThreshold", &model.long_prefill_token_threshold,
        "LLM: most tokens of one prompt in an iteration; 0 = as many as fit");
  f.add("maxModelLen", &model.max_model_len,
        "LLM: tokens of a prompt and its answer together; longer requests are refused; 0 = what the KV cache holds");
  f.add("asyncScheduling", &model.async_scheduling,
        "LLM: an iteration is put together while the one before it runs; by default as the engine does");
  f.add("schedulerReserveFullIsl", &model.scheduler_reserve_full_isl,
        "LLM: a prompt is admitted when all its KV blocks are free; by default as the engine does");
  f.add("kvMemoryUtilization", &model.kv_memory_utilization, "LLM: share of GPU memory for weights and KV cache")
      .above(0)
      .max(1);
  f.add("prefixCaching", &model.prefix_caching, "LLM: KV blocks are kept and shared by prompts that begin alike");
  f.add("kvOffload",
        Nested{Shape::List,
               [&model](const std::string&, const SourceMark&) {
                 ModelSpec::KvTier& tier = model.kv_offload.emplace_back();
                 Fields item;
                 item.add("tier", &tier.name, "what it is").one_of({"dram", "nvme4", "nvme3", "sata", "s3"});
                 item.add("size", &tier.bytes, "per replica").in(Unit::Bytes).required();
                 item.add("readMBs", &tier.read_mbs, "megabytes read per second; left out, what is usual of it")
                     .above(0)
                     .no_distribution();
                 item.add("latency", &tier.latency, "of a read; left out, what is usual of it");
                 return item;
               },
               ""},
        "LLM: memory behind the prefix cache that keeps copies of its blocks, the first is asked first");
  declare_batch_model(model, f);
  f.add("serves", by_name([&model](const std::string& name, const SourceMark& mark) {
          BatchModelSpec& served = model.served.emplace_back();
          served.name = name;
          served.mark = mark;
          return declare_served(served);
        }),
        "batch engine: models of one server; without them it has one, described beside this");
  f.add("overlap", &model.overlap, "batch engine: k instances progress at the total speed 1 + overlap (k - 1)")
      .min(-1)
      .max(1);
  f.add("maxQueueSize", &model.max_queue_size, "requests waiting at a replica beyond this are dropped; 0 = no limit");
  f.add("startup", declare_startup(model.startup), "cold start, drawn per pod");
  return f;
}

Fields declare_trace(SourceDraft& draft) {
  Fields f;
  f.add("file", &draft.trace_file, "CSV or JSON lines, plain or gzip; relative to the file that names it");
  f.add("format", &draft.trace_format.name, "how the file is written")
      .one_of({"auto", "azure", "csv", "jsonl", "mooncake"});
  f.add("columns", one([&draft] {
          Fields columns;
          columns.add("time", &draft.trace_format.time, "column of the arrival time");
          columns.add("prompt", &draft.trace_format.prompt, "column of the prompt's tokens");
          columns.add("output", &draft.trace_format.output, "column of the answer's tokens");
          columns.add("ids", &draft.trace_format.ids,
                      "JSON lines: list of the ids of the prompt's blocks, each standing for all before it, too");
          return columns;
        }),
        "names of the columns");
  f.add("idTokens", &draft.trace_format.id_tokens, "tokens of a block that has an id").min(1).max(1e6);
  f.add("timeUnit", &draft.trace_format.time_unit, "unit of the time column")
      .one_of({"s", "ms", "us", "ns", "datetime"});
  return f;
}

constexpr double kMaxUsers = 1e6, kMaxRate = 1e9;

// The number of a step.
void declare_level(Fields& f, const char* name, int32_t* users, const char* doc) {
  f.add(name, users, doc).max(kMaxUsers).required();
}
void declare_level(Fields& f, const char* name, double* rate, const char* doc) {
  f.add(name, rate, doc).in(Unit::PerSecond).min(0).max(kMaxRate).required();
}

// The fields that all ways of changing a number have.
template <class T>
Fields declare_steps_pattern(StepsDraft<T>& draft, typename StepsDraft<T>::Pattern pattern) {
  draft.pattern = pattern;
  Fields f;
  declare_level(f, "min", &draft.min, "the smallest number");
  declare_level(f, "max", &draft.max, "the largest");
  f.add("start", &draft.start, "from when on; none before");
  f.add("period", &draft.duration, "over which it happens; left out, the rest of the run").above(0);
  return f;
}

template <class T>
Nested declare_over(StepsDraft<T>& draft, std::function<void()> chosen) {
  auto open = [&draft, chosen](const std::string&, const SourceMark&) {
    chosen();
    using Pattern = typename StepsDraft<T>::Pattern;
    Fields f;
    f.add("ramp", one([&draft] {
            Fields ramp = declare_steps_pattern(draft, Pattern::Ramp);
            ramp.add("steps", &(draft.steps = 20), "of the same length").min(1).max(1e6);
            return ramp;
          }),
          "min + (max - min) i / steps, i = 1 … steps");
    f.add("spike", one([&draft] {
            Fields spike = declare_steps_pattern(draft, Pattern::Spike);
            spike.add("begin", &draft.begin, "share of the period before it").min(0).max(1);
            spike.add("width", &draft.width, "share of the period").above(0).max(1);
            return spike;
          }),
          "min, then max for a while, then min");
    f.add("periodic", one([&draft] {
            Fields periodic = declare_steps_pattern(draft, Pattern::Periodic);
            periodic.add("steps", &(draft.steps = 60), "of the same length").min(1).max(1e6);
            periodic.add("cycles", &draft.cycles, "in the period").above(0).max(1e6);
            return periodic;
          }),
          "min + (max - min) (1 + sin(2 pi cycles i / steps)) / 2, i = 0 … steps - 1");
    f.add("random", one([&draft] {
            Fields random = declare_steps_pattern(draft, Pattern::Random);
            random.add("every", &draft.every, "from one draw to the next").above(0).required();
            return random;
          }),
          "any number from min to max, each equally likely");
    f.add("list",
          Nested{Shape::List,
                 [&draft](const std::string&, const SourceMark&) {
                   draft.pattern = Pattern::List;
                   typename StepsDraft<T>::Step& step = draft.list.emplace_back();
                   Fields item;
                   item.add("at", &step.at, "from when on").required();
                   declare_level(item, std::is_same_v<T, double> ? "rate" : "users", &step.level,
                                 "how many from then on");
                   return item;
                 },
                 ""},
          "as written");
    return f;
  };
  return {Shape::OneOf, open, ""};
}

Fields declare(TaskSpec& task) {
  Fields f;
  f.add("weight", &task.weight, "share of the requests, beside those of the others").above(0).max(1e9);
  f.add("model", &task.model, "that it asks, of a batch server with several");
  f.add("frontend", &task.frontend, "answered by the server's front end, in this time, without a model")
      .in(Unit::Seconds);
  f.add("samples", &task.samples, "in the request").min(1);
  f.add("priority", &task.priority,
        "level of the model's queue; 0 = the model's default; LLM, schedulingPolicy priority: lower is first")
      .max(1024);
  f.add("queueTimeout", &task.queue_timeout, "in the model's queue, where its policy allows it; 0 = none");
  f.add("untimed", &task.untimed, "client: one turn of its thread, before the clock of the request starts")
      .in(Unit::Seconds);
  f.add("send", &task.send, "client: each turn of its thread to send").in(Unit::Seconds);
  f.add("sendTurns", &task.send_turns, "client: turns to send").max(1000);
  f.add("receive", &task.receive, "client: each turn of its thread to read the answer").in(Unit::Seconds);
  f.add("receiveTurns", &task.receive_turns, "client: turns to read the answer").max(1000);
  return f;
}

// Who sends, beside when: the client's program, its network, the gateway before the Service.
void declare_client(TrafficSpec& source, Fields& f) {
  f.add("tasks", by_name([&source](const std::string& name, const SourceMark& mark) {
          TaskSpec& task = source.tasks.emplace_back();
          task.name = name;
          task.mark = mark;
          return declare(task);
        }),
        "kinds of requests; without them there is one");
  f.add("client", &source.client,
        "who sends: programs that do not wait for each other, or one program whose thread all requests share, in turn "
        "or "
        "in the passes of its event loop (gevent, asyncio)")
      .one_of({"concurrent", "single-thread", "event-loop"});
  f.add("network", one([&source] {
          Fields network;
          network.add("out", &source.network_out, "from the client to the gateway").in(Unit::Seconds);
          network.add("back", &source.network_back, "from the replica to the client").in(Unit::Seconds);
          return network;
        }),
        "time that each request and each answer travels");
  f.add("connections", &source.connections, "requests under way at a time; further ones wait; 0 = no limit").max(1e6);
  f.add("hedge", &source.hedge_delay, "the gateway asks a second replica if there is no answer by then; 0 = never");
  f.add("admission", one([&source] {
          Fields admission;
          admission.add("rate", &source.admission.rate, "token bucket: tokens gained").in(Unit::PerSecond);
          admission.add("burst", &source.admission.burst, "token bucket: tokens held").min(1).max(1e9);
          admission.add("maxOutstanding", &source.admission.max_outstanding,
                        "requests at the Service, per ready endpoint; 0 = no limit");
          admission.add("ttft", &source.admission.ttft,
                        "LLM: requests whose first token is expected later at their replica; 0 = none");
          admission.add(
              "shed", one([&source] {
                source.admission.shed_queue_depth = 5;
                source.admission.shed_kv_usage = 0.8;
                Fields shed;
                shed.add("queueDepth", &source.admission.shed_queue_depth, "requests waiting at an endpoint").min(1);
                shed.add("kvUsage", &source.admission.shed_kv_usage, "share of its KV cache in use")
                    .above(0)
                    .max(1)
                    .no_distribution();
                return shed;
              }),
              "LLM: everything, while every endpoint has more than one of the two");
          return admission;
        }),
        "what the gateway turns away");
}

Fields declare_pattern(TrafficSpec& source, SourceDraft& draft) {
  Fields f;
  f.add("constant",
        one(
            [&source] {
              source.pattern = TrafficSpec::Pattern::Constant;
              Fields constant;
              constant.add("rate", &source.rate, "requests per time").in(Unit::PerSecond).above(0).required();
              return constant;
            },
            "rate"),
        "the same rate all the time");
  f.add("diurnal", one([&source] {
          source.pattern = TrafficSpec::Pattern::Diurnal;
          Fields diurnal;
          diurnal.add("mean", &source.diurnal_mean, "mean over a period").in(Unit::PerSecond).above(0).required();
          diurnal
              .add("peak", &source.diurnal_peak, "highest rate; beyond twice the mean the rest of the period is silent")
              .in(Unit::PerSecond)
              .above(0)
              .required();
          diurnal.add("period", &source.diurnal_period, "from peak to peak").above(0);
          diurnal.add("phase", &source.diurnal_phase, "how far into the period the run starts");
          return diurnal;
        }),
        "mean + (peak - mean) * sin(2 pi (t + phase) / period), never below 0");
  f.add("over", declare_over(draft.rates, [&source] { source.pattern = TrafficSpec::Pattern::Steps; }),
        "a rate that changes in steps");
  f.add("trace",
        one(
            [&source, &draft] {
              source.pattern = TrafficSpec::Pattern::Trace;
              return declare_trace(draft);
            },
            "file"),
        "recorded arrivals");
  f.add("users",
        one(
            [&source, &draft] {
              source.pattern = TrafficSpec::Pattern::Users;
              Fields users;
              users.add("count", &source.users, "users at a time; left out where `over` says it").min(1).max(kMaxUsers);
              users.add("over", declare_over(draft.users, [] {}), "how many there are over time");
              users.add("think", &source.think, "from an answer to the user's next request").in(Unit::Seconds);
              return users;
            },
            "count"),
        "a closed loop: every user waits for the answer, thinks and asks again");
  return f;
}

Fields declare_request(TrafficSpec& source) {
  constexpr double kMaxTokens = 10'000'000;
  Fields f;
  f.add("prompt", &source.prompt, "prompt tokens").min(0).max(kMaxTokens);
  f.add("output", &source.output, "answer tokens").min(1).max(kMaxTokens);
  f.add("prefix", one([&source] {
          Fields prefix;
          prefix.add("tokens", &source.prefix.tokens, "in front of the prompt").min(1).max(kMaxTokens).required();
          prefix.add("groups", &source.prefix.groups, "how many different ones there are").min(1).max(1e6);
          prefix.add("zipf", &source.prefix.zipf, "the k-th is as frequent as k^-zipf; 0: all alike").min(0).max(100);
          return prefix;
        }),
        "tokens that prompts have in common: a system prompt, a document, examples");
  f.add(
      "adapters", one([&source] {
        Fields adapters;
        adapters.add("count", &source.adapters.count, "how many different ones there are").min(1).max(1e6).required();
        adapters.add("zipf", &source.adapters.zipf, "the k-th is as frequent as k^-zipf; 0: all alike").min(0).max(100);
        return adapters;
      }),
      "LoRA adapters, of which each request, or all of a session, asks for one");
  return f;
}

Fields declare_source(TrafficSpec& source, SourceDraft& draft) {
  Fields f;
  f.add("service", &source.service, "Service that the requests go to").required();
  f.add("pattern", Nested{Shape::OneOf, [&source, &draft](auto&, auto&) { return declare_pattern(source, draft); }, ""},
        "when requests arrive");
  f.add("trace", declare_pattern(source, draft).find("trace")->target, "short for pattern.trace, and wins over it");
  f.add("timeScale", &source.time_scale, "of a trace: more than 1 stretches time").above(0).max(1e6);
  f.add("rateScale", &source.rate_scale, "of a trace: copies of each request, or the share kept").above(0).max(1e6);
  f.add("arrivals", &draft.arrivals, "how requests scatter around the rate").one_of({"poisson", "constant"});
  f.add("request", one([&source] { return declare_request(source); }), "sizes; a trace has its own");
  f.add(
      "session", one([&source] {
        source.session.on = true;
        Fields session;
        session.add("turns", &source.session.turns, "requests of a session").min(1).max(1024).required();
        session.add("think", &source.session.think, "from an answer to the session's next request").in(Unit::Seconds);
        session.add("maxTokens", &source.session.max_tokens,
                    "a session ends before a request whose prompt and answer are longer; 0 = no limit");
        return session;
      }),
      "what arrives, or what a user of a closed loop begins, is a session: each request's prompt is all that was said "
      "before and `request.prompt` new tokens");
  f.add("timeout", &source.timeout, "of one attempt; 0 = none");
  f.add("retries", &source.retries, "attempts after the first has timed out, failed or been dropped").max(1000);
  f.add("retryBackoff", &source.retry_backoff, "wait before each retry");
  declare_client(source, f);
  return f;
}

Fields declare(SloSpec& slo) {
  Fields f;
  f.add("ttft", &slo.ttft, "time to first token").above(0);
  f.add("tpot", &slo.tpot, "time per output token after the first").above(0);
  f.add("e2e", &slo.e2e, "from send to last token").above(0);
  f.add("target", &slo.target, "share of requests that must meet all of them").above(0).max(1);
  f.add("penalty", &slo.penalty, "what a request that misses it costs, in the unit of the prices").min(0);
  return f;
}

Fields declare(PolicyChoice& policy) {
  Fields f;
  f.add("name", &policy.name, "see `kisim list policies`; further fields are its parameters").required();
  f.others = &policy.params;
  return f;
}

Nested declare(std::map<std::string, PolicyChoice>& policies) {
  return by_name(
      [&policies](const std::string& name, const SourceMark& mark) {
        PolicyChoice& policy = policies[name];
        policy.mark = mark;
        return declare(policy);
      },
      "name");
}

Nested declare_coding(PolicyChoice& coding) {
  return {Shape::One,
          [&coding](const std::string&, const SourceMark& mark) {
            coding.mark = mark;
            return declare(coding);
          },
          "name"};
}

Nested declare_scheduler(PolicyChoice& policy) {
  return {Shape::One,
          [&policy](const std::string&, const SourceMark& mark) {
            policy.mark = mark;
            Fields fields = declare(policy);
            for (Field& field : fields.list) field.needed = false;  // kube is the only one
            return fields;
          },
          "name"};
}

Fields declare(MetricsSpec& metrics) {
  Fields f;
  f.add("scrapeInterval", &metrics.scrape_interval, "from scrape to scrape of a target").min(1e-3);
  f.add("offset", &metrics.offset, "of the scrapes; random: per target, within the interval").one_of({"random"});
  f.add("delay", &metrics.delay, "from a scrape until its values are seen");
  f.add("window", &metrics.window, "over which rates are taken").above(0);
  f.add("staleness", &metrics.staleness, "a value that is older is none").above(0);
  f.add("dropout", &metrics.dropout, "probability that a scrape fails").min(0).max(1);
  f.add("noise", &metrics.noise, "standard deviation of what is read of a scrape, relative").min(0).max(1);
  f.add("resourceResolution", &metrics.resource_resolution, "metrics-server: from question to question of the kubelets")
      .min(1e-3);
  f.add("resourceWindow", &metrics.resource_window, "metrics-server: between two samples of CPU").above(0);
  return f;
}

Fields declare_kubernetes(ScenarioDraft& draft) {
  Fields f;
  f.add("version", &draft.scenario.kubernetes_version, "whose control plane is followed")
      .one_of({"1.34", "1.35", "1.36"});
  f.add("featureGates", &draft.scenario.feature_gates, "gates that differ from the version's defaults");
  f.add("schedulerConfiguration", &draft.scheduler_configuration, "KubeSchedulerConfiguration, or a file that holds it")
      .or_mapping();
  f.add("latencies", declare_latencies(draft.scenario),
        "of the control plane: none, the components' defaults, or these");
  return f;
}

Nested declare_agents(ScenarioDraft& draft) {
  return by_name([&draft](const std::string& name, const SourceMark& mark) {
    AgentSpec& agent = draft.scenario.agents.emplace_back();
    agent.name = name;
    agent.mark = agent.coding.mark = mark;
    Fields f;
    f.add("policy", &agent.policy, "file of a trained policy; left out, whoever trains it chooses its actions");
    f.add("coding", declare_coding(agent.coding), "how it sees and acts; left out, as its policy was trained");
    f.add("workloads", &agent.workloads, "that it scales").required();
    f.add("interval", &agent.interval, "from decision to decision").min(1e-3);
    f.add("start", &agent.start, "of its decisions; left out, after one interval");
    f.add("minReplicas", &agent.min_replicas, "of each workload; left out, that of its HorizontalPodAutoscaler, or 1")
        .min(1)
        .max(1e6);
    f.add("maxReplicas", &agent.max_replicas, "of each workload; left out, that of its HorizontalPodAutoscaler")
        .min(1)
        .max(1e6);
    return f;
  });
}

Nested declare_shields(Scenario& scenario) {
  return by_name([&scenario](const std::string& name, const SourceMark& mark) {
    ShieldSpec& shield = scenario.shields[name];
    shield.mark = mark;
    Fields f;
    ShieldModel& limits = shield.limits;
    f.add("maxStepUp", &limits.max_step_up, "replicas of a workload more at a time; 0 = any").min(0).max(1e6);
    f.add("maxStepDown", &limits.max_step_down, "fewer at a time; 0 = any").min(0).max(1e6);
    f.add("cooldownUp", &limits.cooldown_up, "from a change of a workload to its next one up");
    f.add("cooldownDown", &limits.cooldown_down, "to its next one down");
    f.add("maxReplicas", &limits.max_replicas, "of all workloads of an agent together; 0 = any").min(0).max(1e6);
    f.add("maxAge", &limits.max_age,
          "of the metrics that an agent's policy is asked with, none of which may be missing; left out, any");
    f.add("outside", &limits.outside,
          "how far from where it was trained an agent's policy is asked, in widths of that range; left out, anywhere")
        .min(0)
        .max(1e6);
    f.add("fallback", &shield.fallback,
          "who decides where an agent's policy is not asked: nobody (hold, the default), or the workloads' HPAs")
        .one_of({"hold", "hpa"});
    return f;
  });
}

Fields declare_policies(ScenarioDraft& draft) {
  Scenario& scenario = draft.scenario;
  Fields f;
  f.add("autoscaler", declare(scenario.autoscalers), "by workload");
  f.add("scheduler", declare_scheduler(scenario.scheduler), "of the cluster");
  f.add("router", declare(scenario.routers), "by Service");
  f.add("prefillRouter", declare(scenario.prefill_routers), "by Service, of its replicas with the role prefill");
  f.add("interference", declare(scenario.interference),
        "between replicas on one GPU, by the way they share it: time-slicing, mps, gpu-milli (by default mps, too)");
  f.add("descheduler", declare_descheduler(draft),
        "who evicts pods that would better run elsewhere; nobody without it");
  f.add("agents", declare_agents(draft), "who scales several workloads together, in place of their autoscalers");
  f.add("shield", declare_shields(scenario), "by workload, or by agent: limits on what its policy does");
  f.add("mig", declare_mig_policy(draft), "who has GPUs cut anew while the cluster runs; nobody without it");
  return f;
}

Nested declare_models(Scenario& scenario) {
  return by_name([&scenario](const std::string& name, const SourceMark& mark) {
    ModelSpec& model = scenario.models.emplace_back();
    model.name = name;
    model.mark = mark;
    return declare(model);
  });
}

Nested declare_traffic(ScenarioDraft& draft) {
  return by_name([&draft](const std::string& name, const SourceMark& mark) {
    TrafficSpec& source = draft.scenario.traffic.emplace_back();
    source.name = name;
    source.mark = mark;
    return declare_source(source, draft.sources.emplace_back());
  });
}

Nested declare_slos(Scenario& scenario) {
  return by_name([&scenario](const std::string& name, const SourceMark& mark) {
    SloSpec& slo = scenario.slo.emplace_back();
    slo.traffic = name;
    slo.mark = mark;
    return declare(slo);
  });
}

// A figure, or steps of it.
Fields declare(TariffSpec& tariff, Value& file, const std::string& figure, const std::string& doc, Unit unit) {
  Fields f;
  f.add(figure, &tariff.value, doc + ", all the time").in(unit).no_distribution();
  f.add("steps",
        Nested{Shape::List,
               [&tariff, figure, unit](const std::string&, const SourceMark&) {
                 TariffSpec::Step& step = tariff.steps.emplace_back();
                 Fields item;
                 item.add("at", &step.at, "from when on; the first at 0").required();
                 item.add(figure, &step.value, "from then on").in(unit).no_distribution().required();
                 return item;
               },
               ""},
        doc + " that changes, in order of time");
  f.add("file", &file, "the steps as CSV with the columns at (seconds, or date and time) and " + figure);
  return f;
}

Fields declare_carbon(ScenarioDraft& draft) {
  Scenario& scenario = draft.scenario;
  Fields f;
  f.add("intensity",
        one(
            [&draft] {
              return declare(draft.scenario.carbon_intensity.emplace(), draft.carbon_file, "gPerKwh",
                             "grams of CO2 equivalent per kWh", Unit::None);
            },
            "gPerKwh"),
        "of the electricity")
      .required();
  f.add("pue", &scenario.pue, "power usage effectiveness: of the site over that of its machines").min(1).max(10);
  return f;
}

Fields declare_spec(ScenarioDraft& draft) {
  Scenario& scenario = draft.scenario;
  Fields f;
  f.add("include", &draft.include, "YAML files whose spec lies beneath this one; later ones above earlier ones");
  f.add("duration", &scenario.duration, "how much time is simulated").above(0).required();
  f.add("warmup", &scenario.warmup, "simulated, but left out of the statistics");
  f.add("seed", &scenario.seed, "of every random number");
  f.add("fluidStep", &scenario.fluid_step, "detail fluid: how long rates hold before they follow their sources")
      .min(1e-3);
  f.add("kubernetes", one([&draft] { return declare_kubernetes(draft); }), "the control plane");
  f.add("manifests", &draft.manifests, "files, directories and inline objects: the cluster and its workloads");
  f.add("models", declare_models(scenario), "how the pods of a workload serve");
  f.add("traffic", declare_traffic(draft), "sources of requests");
  f.add("slo", declare_slos(scenario), "targets, by traffic source");
  f.add("policies", one([&draft] { return declare_policies(draft); }), "who decides");
  f.add("metrics", one([&scenario] { return declare(scenario.metrics); }), "what controllers see, and when");
  f.add("faults", declare_faults(draft), "what goes wrong");
  f.add("actions", declare_actions(draft), "what an operator does, as with kubectl");
  f.add("pods", declare_pods(scenario), "how pods behave that serve no model, and what all of them use");
  f.add("clusterAutoscaler", declare_cluster_autoscaler(draft), "who adds and removes nodes; nobody without it");
  f.add(
       "migConfigs", &draft.mig_configs,
       "mig-parted's configuration, or a file that holds it: how GPUs are cut, by the node label nvidia.com/mig.config")
      .or_mapping();
  f.add("devicePluginConfigs", &draft.device_plugin_configs,
        "NVIDIA device plugin's configurations, or a file that holds them, by the node label "
        "nvidia.com/device-plugin.config")
      .or_mapping();
  f.add("prices",
        by_name(
            [&draft](const std::string& gpu, const SourceMark& mark) {
              TariffSpec& price = draft.scenario.prices[gpu];
              price.mark = mark;
              return declare(price, draft.price_files[gpu], "price", "of a GPU", Unit::PerHour);
            },
            "price"),
        "of a GPU model; without prices there is no cost");
  f.add("carbon", one([&draft] { return declare_carbon(draft); }), "without it there is no carbon_kg");
  f.add("nodePower", one([&scenario] {
          Fields power;
          power.add("idle", &scenario.node_idle_watts, "watts of a node without its GPUs").min(0).max(1e6);
          power.add("perCore", &scenario.node_core_watts, "watts more per core that its pods request").min(0).max(1e6);
          return power;
        }),
        "counts in energy_kwh beside the GPUs; nothing without it");
  return f;
}

}  // namespace

Fields declare(ScenarioDraft& draft) {
  Fields f;
  f.add("apiVersion", &draft.api_version, "of this form of document").one_of({"kisim.dev/v1"}).required();
  f.add("kind", &draft.kind, "of this document").one_of({"Scenario"}).required();
  f.add("metadata", one([&draft] {
          Fields metadata;
          metadata.add("name", &draft.scenario.name, "of the scenario").required();
          return metadata;
        }),
        "about this document")
      .required();
  f.add("spec", one([&draft] { return declare_spec(draft); }), "what is simulated").required();
  return f;
}

}  // namespace kisim
