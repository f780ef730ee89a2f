import { eld } from "eld/small";
import { expect, test } from "vitest";
import { GatewayError } from "../../src/base/errors.ts";
import { language } from "../../src/rewards/language.ts";
import { rewardWorld } from "../support/reward-world.ts";

const sentences: Readonly<Record<string, string>> = {
  en: "Your order has been sent and should be with you on Friday.",
  de: "Ihre Bestellung ist unterwegs und sollte am Freitag bei Ihnen sein.",
  fr: "Votre commande est en route et devrait arriver chez vous vendredi.",
  es: "Su pedido está en camino y debería llegar a su casa el viernes.",
  it: "Il suo ordine è in viaggio e dovrebbe arrivare venerdì.",
  pt: "A sua encomenda está a caminho e deve chegar na sexta-feira.",
  nl: "Uw bestelling is onderweg en zou vrijdag bij u moeten zijn.",
  pl: "Twoje zamówienie jest w drodze i powinno dotrzeć w piątek.",
  ru: "Ваш заказ отправлен и должен прийти к вам в пятницу.",
  ja: "ご注文の商品は発送されました。金曜日に届く予定です。",
  zh: "您的订单已经发出，应该会在星期五送到。",
  tr: "Siparişiniz yolda ve cuma günü size ulaşması bekleniyor.",
};

function judge(languages: readonly string[], text: string) {
  const reward = language.create(
    "test",
    { languages: [...languages], matched: 1, unmatched: 0 },
    rewardWorld({}),
  );
  return reward.open({ messages: [] }, new AbortController().signal).score(text);
}

test.each(Object.entries(sentences))(
  "a sentence in '%s' is in it and in no other",
  async (own, text) => {
    const others = Object.keys(sentences).filter((each) => each !== own);
    expect(await judge([own], text)).toBe(1);
    expect(await judge(others, text)).toBe(0);
    expect(await judge([...others, own], text)).toBe(1);
  },
);

test("the language with more of the text decides", async () => {
  const mixed = `${sentences["de"]} ${sentences["de"]} Thank you.`;
  expect(await judge(["de"], mixed)).toBe(1);
  expect(await judge(["en"], mixed)).toBe(0);
});

test.each(["", "42", "?!", "3 + 4 = 7"])("'%s' is in no language: no judgement", async (text) => {
  expect(await judge(["en"], text)).toBeNaN();
});

test("a language that cannot be told apart is refused by name, and the list is the detector's", () => {
  const create = (name: string) => () =>
    language.create("test", { languages: [name], matched: 1, unmatched: 0 }, rewardWorld({}));
  expect(create("xx")).toThrow(GatewayError);
  expect(create("xx")).toThrow(/'xx' is none of the languages/);
  for (const name of Object.values(eld.info().Languages)) expect(create(name)).not.toThrow();
});
