// The cost meter: what AWS would have billed, and for what.

import { $, count, dollars, element } from "./dom.js";
import * as api from "./api.js";

let report = null;

export async function refresh() {
  report = await api.get("cost");
  const { bill, month, seconds } = report;
  $("meter-now").textContent = dollars(bill.dollars);
  $("meter-month").textContent = `${dollars(month.dollars)} a month, if it goes on like this`;
  const most = bill.lines.reduce((a, b) => (b.dollars > a.dollars ? b : a));
  $("meter-main").textContent = most.dollars > 0 ? `mostly ${most.what.replace(/,.*/, "")}: ${Math.round((100 * most.dollars) / bill.dollars)} %` : "";
  $("cost-since").textContent = `of ${seconds < 120 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`}, at list prices of ${report.region}; DynamoDB ${report.dynamodb}`;
  showBill();
  showShares();
  showLevers();
  $("cost-notes").replaceChildren(...report.notes.map((note) => element("li", {}, note)),
    element("li", {}, "“bellhop cost” prints this with the sources of the prices, and prices a load that you describe."));
}

const numbers = (...texts) => texts.map((text) => element("td", { class: "number" }, text));
const heads = (...texts) => element("thead", {}, element("tr", {}, ...texts.map((text, i) => element("th", { scope: "col", class: i > 0 ? "number" : "" }, text))));

function showBill() {
  const rows = report.bill.lines.map((line, i) => element("tr", { class: line.quantity === 0 ? "zero" : "", "data-testid": "bill-line", "data-item": line.item },
    element("th", { scope: "row" }, line.what), ...numbers(count(line.quantity), dollars(line.dollars), dollars(report.month.lines[i].dollars))));
  $("bill").replaceChildren(heads("", "used", "cost", "a month of it"), element("tbody", {}, ...rows),
    element("tfoot", {}, element("tr", {}, element("th", { scope: "row" }, "in all"), ...numbers("", dollars(report.bill.dollars), dollars(report.month.dollars)))));
}

function showShares() {
  const { top, others, othersDollars } = report[$("share-by").value];
  const cells = (usage, cost) => numbers(count(usage.messagesIn + usage.messagesOut), count(usage.lambdaRequests), count(usage.writeUnits), count(usage.readUnits), dollars(cost));
  const rows = top.map(({ name, usage, dollars: cost }) => element("tr", { "data-testid": "share", "data-name": name }, element("th", { scope: "row" }, name), ...cells(usage, cost)));
  rows.push(element("tr", { class: "zero" }, element("th", { scope: "row" }, "others, and none"), ...cells(others, othersDollars)));
  $("shares").replaceChildren(heads("", "messages", "λ", "WRU", "RRU", "cost"), element("tbody", {}, ...rows));
}

function showLevers() {
  const rate = report.bill.dollars > 0 ? report.month.dollars / report.bill.dollars : 0;
  const bodies = report.levers.map(({ name, messages, spared, spent, change }) => element("tbody", { class: messages === 0 ? "zero" : "", "data-testid": "lever", "data-name": name },
    element("tr", {}, element("th", { scope: "row" }, name), ...numbers(count(messages), dollars(spared), dollars(spared * rate), spent ? dollars(spent) : "")),
    element("tr", { class: "change" }, element("td", { colspan: "5" }, change))));
  $("levers").replaceChildren(heads("", "not pushed", "would have cost", "a month of it", "still costs"), ...bodies);
}

$("share-by").addEventListener("change", () => report && showShares());
