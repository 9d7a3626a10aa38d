/// <reference lib="dom" />

/** A text with too little contrast to its background. */
export interface Faint {
  readonly text: string;
  readonly ratio: number;
}

/**
 * Runs in the browser. Compares every visible text, in HTML and SVG, with the first background behind it, as WCAG 2
 * does. Returns the texts below `ratioMin`, and how many texts it checked.
 */
export function faintTexts(ratioMin: number): { readonly looked: number; readonly faint: Faint[] } {
  const parse = (colour: string) => {
    const [red = 0, green = 0, blue = 0, alpha = 1] = (colour.match(/[\d.]+/g) ?? []).map(Number);
    if (!colour.startsWith('rgb')) throw new Error(`a colour of an unknown form: ${colour}`);
    return { channels: [red, green, blue], alpha };
  };
  const luminance = (channels: number[]) => {
    const [red = 0, green = 0, blue = 0] = channels.map((channel) => {
      const share = channel / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const backgroundOf = (element: Element | null): number[] => {
    if (element === null) throw new Error('nothing behind the text has a colour');
    const { channels, alpha } = parse(getComputedStyle(element).backgroundColor);
    if (alpha === 1) return channels;
    if (alpha > 0) throw new Error('a background that shines through cannot be judged');
    return backgroundOf(element.parentElement);
  };
  const faint: Faint[] = [];
  let looked = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const element = node.parentElement;
    const text = node.textContent?.trim() ?? '';
    if (element === null || text === '' || element.getClientRects().length === 0) continue;
    looked += 1;
    const style = getComputedStyle(element);
    if (style.opacity !== '1') throw new Error(`a text that shines through cannot be judged: ${text}`);
    const ink = luminance(parse(element instanceof SVGElement ? style.fill : style.color).channels);
    const paper = luminance(backgroundOf(element));
    const ratio = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (ratio < ratioMin) faint.push({ text, ratio });
  }
  return { looked, faint };
}
