/** Whether the box serves another version of this page than the one that runs. */

/** The page's own scripts and styles, by their paths: their names change with what is in them. */
export function partsOf(page: Document): readonly string[] {
  const parts = page.querySelectorAll<HTMLScriptElement | HTMLLinkElement>("script[src], link[rel=stylesheet]");
  return [...parts].map((part) => new URL("src" in part ? part.src : part.href, page.baseURI).pathname);
}

/** `html` is the page as it is served now. Something that names no script at all is not the page. */
export function isOutdated(html: string, parts: readonly string[]): boolean {
  if (!/<script\b[^>]*\bsrc=/.test(html)) return false;
  return parts.some((part) => !html.includes(`"${part}"`));
}
