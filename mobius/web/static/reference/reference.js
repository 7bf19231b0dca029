// Draws the API's description with Swagger UI. Nothing is stored, and nothing is asked of another host.
"use strict";

(() => {
  const place = document.getElementById("reference");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  follow();
  dark.addEventListener("change", follow);

  // The project of this page is filled in where an address names one.
  const describe = async () => {
    const answer = await fetch(place.dataset.description);
    if (!answer.ok) throw new Error(`The description could not be loaded (${answer.status}). Reload the page.`);
    const description = await answer.json();
    for (const methods of Object.values(description.paths))
      for (const operation of Object.values(methods))
        for (const parameter of operation.parameters ?? [])
          if (parameter.in === "path" && parameter.name === "project") parameter.example = place.dataset.project;
    return description;
  };

  describe().then(
    (spec) =>
      SwaggerUIBundle({
        spec,
        domNode: place,
        presets: [SwaggerUIBundle.presets.apis],
        layout: "BaseLayout",
        deepLinking: true,
        docExpansion: "none",
        defaultModelsExpandDepth: -1,
        validatorUrl: null,
        persistAuthorization: false,
        displayRequestDuration: true,
      }),
    (error) => {
      place.textContent = error.message;
    },
  );
})();
