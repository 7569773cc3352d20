// Shows openapi.json as a page: each endpoint with its parameters and answers.
function element(name, content = "") {
  const made = document.createElement(name);
  // Backticks mark code, as in the document's own Markdown.
  content.split("`").forEach((part, index) => {
    if (index % 2) made.append(Object.assign(document.createElement("code"), { textContent: part }));
    else made.append(part);
  });
  return made;
}

function table(rows) {
  const body = element("table");
  for (const [first, second] of rows) {
    const row = element("tr");
    row.append(element("td", "`" + first + "`"), element("td", second));
    body.append(row);
  }
  const scroll = element("div");
  scroll.className = "scroll";
  scroll.append(body);
  return scroll;
}

async function show() {
  const page = document.getElementById("docs");
  const answer = await fetch("openapi.json");
  if (!answer.ok) throw new Error(`openapi.json: ${answer.status}`);
  const { paths } = await answer.json();
  for (const [path, methods] of Object.entries(paths)) {
    for (const [method, what] of Object.entries(methods)) {
      page.append(element("h2", "`" + `${method.toUpperCase()} ${path}` + "`"), element("p", what.summary ?? ""));
      if (what.description) page.append(element("p", what.description));
      const parameters = what.parameters ?? [];
      if (parameters.length) page.append(table(parameters.map((each) => [each.name, each.description ?? ""])));
      page.append(table(Object.entries(what.responses ?? {}).map(([status, each]) => [status, each.description ?? ""])));
    }
  }
}

show().catch((error) => document.getElementById("docs").append(element("p", String(error))));
