/** Rewards by id: those loaded with their models, those that the configuration makes, and those that a request brings. */
import type { Clock } from "../base/clock.ts";
import { GatewayError } from "../base/errors.ts";
import { compileOptions } from "../base/options.ts";
import type { Reward, RewardSpec, RewardWorld, Speaker } from "../rewards/define.ts";
import { rewardKindNamed, rewardKinds } from "../rewards/index.ts";

/** The field of a request that brings a reward, unless it is another. */
const WHERE = "alignment.reward";
/** How deep rewards made of rewards may nest in a request: enough for an ensemble of corrected ones. */
const DEPTH_MAX = 3;

export interface RewardsParts {
  /** With models of their own. */
  readonly loaded: readonly Reward[];
  /** By id. */
  readonly configured: Readonly<Record<string, RewardSpec>>;
  /** @throws GatewayError model_not_found */
  readonly speaker: (id: string) => Speaker;
  readonly clock: Clock;
}

export interface Rewards {
  /** Loaded ones first, then configured ones, each in the order given. */
  readonly all: readonly Reward[];
  /**
   * @param where the request's field that asks for it
   * @throws GatewayError reward_not_found; invalid_request for a kind that no request may bring, or wrong options
   */
  get(asked: string | RewardSpec, where?: string): Reward;
}

/** @throws GatewayError config_invalid for a configured reward that cannot be made, or is made of itself. */
export function createRewards({ loaded, configured, speaker, clock }: RewardsParts): Rewards {
  const made = new Map(loaded.map((reward) => [reward.id, reward]));
  const inTheMaking = new Set<string>();
  const world: RewardWorld = {
    reward: (asked) => (typeof asked === "string" ? named(asked) : make(asked, "parts", world)),
    speaker,
    clock,
  };
  const requestWorld = (depth: number): RewardWorld => ({
    reward: (asked) => (typeof asked === "string" ? named(asked) : inline(asked, depth)),
    speaker,
    clock,
  });

  function named(id: string): Reward {
    const known = made.get(id);
    if (known) return known;
    const spec = Object.hasOwn(configured, id) ? configured[id]! : null;
    if (!spec) {
      const ids = new Set([...made.keys(), ...Object.keys(configured)]);
      throw new GatewayError("reward_not_found", { reward: id, known: [...ids] });
    }
    if (inTheMaking.has(id)) {
      const problem = `the reward '${id}' is made of itself: ${[...inTheMaking, id].join(" → ")}`;
      throw new GatewayError("config_invalid", { source: "rewards", problem: `${problem}.` });
    }
    inTheMaking.add(id);
    const reward = asConfigured(id, () => make(spec, `rewards.${id}`, world, id));
    inTheMaking.delete(id);
    made.set(id, reward);
    return reward;
  }

  function inline(spec: RewardSpec, depth: number): Reward {
    const { isInline, name } = rewardKindNamed(spec.kind, WHERE);
    if (depth > DEPTH_MAX) {
      const problem = `rewards of a request nest ${DEPTH_MAX} deep at most`;
      throw new GatewayError("invalid_request", { param: WHERE, problem });
    }
    if (isInline) return make(spec, WHERE, requestWorld(depth + 1));
    const kinds = rewardKinds.filter((kind) => kind.isInline).map((kind) => kind.name);
    const problem = `'${name}' can only be configured by who runs the server; a request may bring ${kinds.join(", ")}`;
    throw new GatewayError("invalid_request", { param: `${WHERE}.kind`, problem });
  }

  for (const id of Object.keys(configured)) {
    if (loaded.some((reward) => reward.id === id)) {
      const problem = `the id '${id}' is a loaded reward's already; name it otherwise.`;
      throw new GatewayError("config_invalid", { source: `rewards.${id}`, problem });
    }
    named(id);
  }
  return {
    all: [...made.values()],
    get: (asked, where = WHERE) => atField(where, () => requestWorld(1).reward(asked)),
  };
}

/** @param id the kind's name for a reward that nobody named. */
function make({ kind: name, ...given }: RewardSpec, where: string, world: RewardWorld, id = name) {
  const kind = rewardKindNamed(name, where);
  return kind.create(id, compileOptions(kind, where)(given), world);
}

/** Kinds name what is wrong with their options below `alignment.reward`; here they were brought elsewhere. */
function atField<T>(where: string, create: () => T): T {
  try {
    return create();
  } catch (cause) {
    if (!(cause instanceof GatewayError) || where === WHERE) throw cause;
    const { code, param, params } = cause;
    if (!param?.startsWith(WHERE)) throw cause;
    const moved = { ...(params as object), param: where + param.slice(WHERE.length) };
    throw new GatewayError(code, moved as typeof params, { cause }); // the same code's, with another field
  }
}

/** What is wrong with a request is wrong with the configuration here. */
function asConfigured(id: string, create: () => Reward): Reward {
  try {
    return create();
  } catch (cause) {
    if (!(cause instanceof GatewayError) || cause.status >= 500) throw cause;
    throw new GatewayError(
      "config_invalid",
      { source: `rewards.${id}`, problem: cause.message },
      { cause },
    );
  }
}
