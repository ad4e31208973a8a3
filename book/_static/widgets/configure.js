// Let the widget manager look for its fonts beside this file, not beside the page.
require.config({ baseUrl: new URL(".", document.currentScript.src).href });
